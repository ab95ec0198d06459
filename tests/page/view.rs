//! What a person sees of a page in one view, and what is wrong with it.

use std::path::Path;

use bitcoin::base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::browser::{Browser, Failure};
use crate::png;

/// The checks that run in the page, and answer with what they found.
const PROBE: &str = include_str!("probe.js");

/// A way to look at a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) name: &'static str,
    width: u32,
    height: u32,
    scheme: &'static str,
    medium: &'static str,
}

const fn screen(name: &'static str, width: u32, height: u32, scheme: &'static str) -> View {
    View {
        name,
        width,
        height,
        scheme,
        medium: "screen",
    }
}

/// A desk, a tablet and a telephone, in the light and in the dark, and A4 without its margins.
pub(crate) const VIEWS: [View; 6] = [
    screen("wide-light", 1280, 800, "light"),
    screen("wide-dark", 1280, 800, "dark"),
    screen("middle-light", 800, 1000, "light"),
    screen("phone-light", 390, 844, "light"),
    screen("phone-dark", 390, 844, "dark"),
    View {
        medium: "print",
        ..screen("print", 718, 1000, "light")
    },
];

/// What the page looks like and what it did.
pub(crate) struct Seen {
    /// The whole page.
    pub(crate) png: Vec<u8>,
    page: String,
    probe: Value,
    events: Vec<Value>,
}

impl Seen {
    pub(crate) fn of(browser: &mut Browser, view: View, page: &Path) -> Result<Self, Failure> {
        let tab = browser.open()?;
        let size = json!({"width": view.width, "height": view.height, "deviceScaleFactor": 1,
            "mobile": view.width < 500});
        browser.call(&tab, "Emulation.setDeviceMetricsOverride", size)?;
        let scheme = json!({"name": "prefers-color-scheme", "value": view.scheme});
        let media = json!({"media": view.medium, "features": [scheme]});
        browser.call(&tab, "Emulation.setEmulatedMedia", media)?;
        let page = format!("file://{}", page.display());
        let opened = browser.call(&tab, "Page.navigate", json!({"url": page}))?;
        if let Some(error) = opened["errorText"].as_str() {
            return Err(format!("{page} does not open: {error}").into());
        }
        browser.wait(&tab, "Page.loadEventFired")?;
        let metrics = browser.call(&tab, "Page.getLayoutMetrics", json!({}))?;
        let whole = json!({"format": "png", "captureBeyondViewport": true, "clip": {
            "x": 0, "y": 0, "width": view.width, "scale": 1,
            "height": metrics["cssContentSize"]["height"]}});
        let taken = browser.call(&tab, "Page.captureScreenshot", whole)?;
        let png = BASE64_STANDARD.decode(taken["data"].as_str().unwrap_or_default())?;
        let ask = json!({"expression": PROBE, "returnByValue": true});
        let mut answer = browser.call(&tab, "Runtime.evaluate", ask)?;
        if answer["exceptionDetails"].is_object() {
            return Err(format!("the probe failed: {}", answer["exceptionDetails"]).into());
        }
        Ok(Self {
            png,
            page,
            probe: answer["result"]["value"].take(),
            events: browser.close(&tab)?,
        })
    }

    /// What is wrong, a sentence each.
    pub(crate) fn findings(&self, view: View, word: &str) -> impl Iterator<Item = String> {
        let mut found = self.traffic();
        let shown = self.probe["verdict"].as_str();
        if shown != Some(word) {
            found.push(format!("the first screen says {shown:?} and not {word}"));
        }
        let said = self.probe["findings"].as_array();
        found.extend(said.into_iter().flatten().map(|finding| {
            let text = finding.as_str();
            text.map_or_else(|| finding.to_string(), str::to_owned)
        }));
        if said.is_none() {
            found.push(format!("the probe gave no findings: {}", self.probe));
        }
        match png::read(&self.png) {
            None => found.push("the screenshot is no PNG that can be read".to_owned()),
            Some(picture) if picture.width != view.width || picture.height < view.height => {
                found.push(format!("the screenshot has another size: {picture:?}"));
            }
            Some(picture) if picture.drawn_rows < picture.height / 5 => {
                found.push(format!("the screenshot is all but blank: {picture:?}"));
            }
            Some(_) => {}
        }
        found.into_iter()
    }

    /// What the page asked for besides itself, and what the console took down.
    fn traffic(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut asked = 0;
        for event in &self.events {
            let about = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Network.requestWillBeSent" => {
                    asked += 1;
                    let url = about["request"]["url"].as_str().unwrap_or_default();
                    if url != self.page {
                        found.push(format!("the page asked for {url}"));
                    }
                }
                "Runtime.exceptionThrown" => {
                    found.push(format!("console: {}", about["exceptionDetails"]["text"]));
                }
                "Runtime.consoleAPICalled" => {
                    found.push(format!("console: {}", about["args"]));
                }
                "Log.entryAdded" => found.push(format!("console: {}", about["entry"]["text"])),
                _ => {}
            }
        }
        if asked == 0 {
            found.push("no request was seen, so none can be ruled out".to_owned());
        }
        found
    }
}
