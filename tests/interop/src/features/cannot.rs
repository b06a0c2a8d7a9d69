//! What BoringSSL and wolfSSL cannot do, and why.

use super::{Row, Stack};

pub(crate) fn reason(row: &Row) -> Option<&'static str> {
    match row.stack {
        Stack::BoringSsl => boringssl(row),
        Stack::WolfSsl => wolfssl(row),
        Stack::Command(_) => None,
    }
}

fn boringssl(_: &Row) -> Option<&'static str> {
    None
}

fn wolfssl(_: &Row) -> Option<&'static str> {
    None
}
