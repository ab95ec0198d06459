//! Servers that lie, and programs that are none.

/// Each lie as a test of each kind of server.
macro_rules! lies {
    ($($name:ident),+ $(,)?) => {
        mod electrum {
            $(#[test]
            fn $name() {
                super::$name(super::Kind::Electrum);
            })+
        }
        mod esplora {
            $(#[test]
            fn $name() {
                super::$name(super::Kind::Esplora);
            })+
        }
    };
}

mod electrum;
mod esplora;
mod forge;
mod headers;
mod hidden;
mod payments;
pub(crate) mod scene;
mod sent;
mod strangers;
