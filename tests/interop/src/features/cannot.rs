//! What BoringSSL and wolfSSL cannot do, and why.

use super::{Row, Stack};
use crate::feature::Feature;
use crate::table::Role;

pub(crate) fn reason(row: &Row) -> Option<&'static str> {
    match row.stack {
        Stack::BoringSsl => boringssl(row),
        Stack::WolfSsl => wolfssl(row),
        Stack::Command(_) => None,
    }
}

fn boringssl(row: &Row) -> Option<&'static str> {
    match row.feature {
        Feature::RecordSizeLimit | Feature::MaxFragmentLength => Some("it does not have the extension"),
        _ => None,
    }
}

fn wolfssl(row: &Row) -> Option<&'static str> {
    match (row.we, row.feature) {
        (_, Feature::Timestamps | Feature::CompressedCertificate(_) | Feature::RecordSizeLimit) => {
            Some("it does not have the extension")
        }
        (Role::Server, Feature::Grease) => Some("its client sends none"),
        (Role::Server, Feature::TicketAfterRetry) => {
            Some("its client, when it resumes, has a key share of a group that is not in its supported_groups")
        }
        (Role::Server, Feature::SeveralTickets) => Some("its client keeps the last ticket only"),
        _ => None,
    }
}
