//! A look into a PNG: its size, and how much is drawn on it.

use std::io::Read;

use flate2::read::ZlibDecoder;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A picture's size in pixels, and in how many of its rows something is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) drawn_rows: u32,
}

/// Reads what a browser writes: eight bits a channel, three or four channels, not interlaced
/// (PNG, third edition, section 11). None for anything else.
pub(crate) fn read(bytes: &[u8]) -> Option<Picture> {
    let mut rest = bytes.strip_prefix(SIGNATURE)?;
    let (mut head, mut packed) = (None, Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (kind, after) = after.split_first_chunk::<4>()?;
        let data = after.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        match kind {
            b"IHDR" => head = Some(data),
            b"IDAT" => packed.extend_from_slice(data),
            _ => {}
        }
        // The checksum follows.
        rest = after.get(data.len() + 4..)?;
    }
    let head = head?;
    let number = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let (width, height) = (number(0)?, number(4)?);
    let channels = match head.get(8..13)? {
        [8, 2, 0, 0, 0] => 3,
        [8, 6, 0, 0, 0] => 4,
        _ => return None,
    };
    let mut rows = Vec::new();
    ZlibDecoder::new(packed.as_slice())
        .read_to_end(&mut rows)
        .ok()?;
    let row = 1 + usize::try_from(width).ok()? * channels;
    let rows = rows.chunks_exact(row);
    if rows.len() != usize::try_from(height).ok()? {
        return None;
    }
    let drawn = rows.filter(|row| is_drawn(row, channels)).count();
    Some(Picture {
        width,
        height,
        drawn_rows: drawn.try_into().ok()?,
    })
}

/// Whether a row is more than one colour or goes on otherwise than the row above it. A filter
/// leaves nothing of what goes on as it was but the first pixel.
fn is_drawn(row: &[u8], channels: usize) -> bool {
    let Some((filter, pixels)) = row.split_first() else {
        return false;
    };
    let Some((first, others)) = pixels.split_at_checked(channels) else {
        return false;
    };
    match filter {
        0 => others.chunks_exact(channels).any(|pixel| pixel != first),
        _ => others.iter().any(|byte| *byte != 0),
    }
}
