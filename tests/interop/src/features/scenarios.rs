//! What is done in a row, and what must be true then.

use super::ours::Ours;
use super::{Factory, Foreign, Row, Stack, TIMESTAMP, TIMESTAMPS, boringssl, wolfssl};
use crate::certificates::Authority;
use crate::feature::{Feature, LABEL, PROTOCOLS, Profile, RECORD_LIMIT, SERVER_NAME};
use crate::link;
use crate::memory::{self, Association};
use crate::table::{Role, Version};
use std::time::Instant;
use udtls::{Direction, HandshakeKind, HelloRetryRequest, KeyUpdateRequest, NamedGroup};

type Both = Association<dyn Foreign>;

/// Both ends of a row.
struct Ends {
    row: Row,
    ours: Ours,
    theirs: Box<dyn Factory>,
}

pub(crate) fn hold(row: &Row, authority: &Authority) -> Result<(), String> {
    let theirs: Box<dyn Factory> = match row.stack {
        Stack::BoringSsl => Box::new(boringssl::Ends::new(row, authority)?),
        Stack::WolfSsl => Box::new(wolfssl::Ends::new(row, authority)?),
        Stack::Command(_) => return Err("no stack in memory".into()),
    };
    let mut ends = Ends { row: *row, ours: Ours::new(row, authority)?, theirs };
    let mut both = ends.associate()?;
    let retried = both.connection.negotiated().map(|negotiated| negotiated.hello_retry_request());
    match row.feature {
        Feature::Exporter => exporter(&mut both, None),
        Feature::ExporterWithContext => exporter(&mut both, Some(b"context")),
        Feature::KeyUpdateByUs => key_updates(row.stack, &mut both, Some(KeyUpdateRequest::NotRequested)),
        Feature::KeyUpdateByPeer => key_updates(row.stack, &mut both, None),
        Feature::KeyUpdateByBoth => key_updates(row.stack, &mut both, Some(KeyUpdateRequest::Requested)),
        Feature::Protocol => protocol(&mut both),
        Feature::ServerName => server_name(&ends, &mut both),
        Feature::SessionId | Feature::Ticket | Feature::TicketAndCookie => return resume(&mut ends, &mut both, 1),
        Feature::TicketAfterRetry if retried != Some(HelloRetryRequest::Answered) => Err(format!("{retried:?}")),
        Feature::TicketAfterRetry => return resume(&mut ends, &mut both, 1),
        Feature::SeveralTickets => return resume(&mut ends, &mut both, 2),
        Feature::Srtp(profile) => srtp(profile, &mut both),
        Feature::OcspResponse => ocsp_response(row, authority, &mut both),
        Feature::Timestamps => timestamps(row, &mut both),
        Feature::CompressedCertificate(_) => same("compressions", 1, both.theirs.facts()?.compressions),
        // Whoever does not tolerate it has failed.
        Feature::Grease => Ok(()),
        Feature::RecordSizeLimit | Feature::MaxFragmentLength => {
            same("our longest payload", RECORD_LIMIT, both.connection.max_payload())
        }
        Feature::Cookie => cookie(&both, NamedGroup::X25519),
        Feature::CookieForFragments => cookie(&both, NamedGroup::X25519MLKEM768),
    }?;
    talk(&mut both)
}

impl Ends {
    /// Another association, as far as the end of its handshake.
    fn associate(&mut self) -> Result<Both, String> {
        let theirs = self.theirs.end()?;
        let mut both = match self.row.feature {
            feature if feature.has_cookie() => Association::serve(self.ours.endpoint()?, theirs)?,
            _ => Association::new(self.row.we, self.ours.end()?, theirs),
        };
        both.shake_hands()?;
        Ok(both)
    }
}

/// Data both ways.
fn talk(both: &mut Both) -> Result<(), String> {
    let (ours, theirs) = (both.theirs.received().len(), both.received.len());
    both.send(b"data from udtls")?;
    both.until("our data at the peer", |both| both.theirs.received()[ours..] == *b"data from udtls")?;
    both.theirs.send(b"data from the peer")?;
    both.until("the peer's data", |both| both.received[theirs..] == *b"data from the peer")
}

/// Two values that must be the same.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, theirs: T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: we have {ours:?}, the peer has {theirs:?}")) }
}

fn exporter(both: &mut Both, context: Option<&[u8]>) -> Result<(), String> {
    let mut ours = vec![0; 32];
    let exported = both.connection.export_keying_material(LABEL.as_bytes(), context, &mut ours);
    exported.map_err(|error| error.to_string())?;
    same("keying material", ours, both.theirs.export(context)?)
}

/// So often that the two bits of the epoch in a record header come round (RFC 9147 §4).
const KEY_UPDATES: usize = 5;

/// By us, if there is a request to send with it, or by the peer.
fn key_updates(stack: Stack, both: &mut Both, ours: Option<KeyUpdateRequest>) -> Result<(), String> {
    let expected: &[Direction] = match ours {
        Some(KeyUpdateRequest::Requested) => &[Direction::Sending, Direction::Receiving],
        Some(_) => &[Direction::Sending],
        None => &[Direction::Receiving],
    };
    // wolfSSL asks for ours with each of its own.
    let more = ours.is_none() && stack == Stack::WolfSsl;
    if stack == Stack::BoringSsl && both.we == Role::Client {
        both.until("our ACK of its tickets", |both| both.connection.stats().acks_sent > 0)?;
    }
    for round in 1..=KEY_UPDATES {
        both.updated.clear();
        let acks = both.connection.stats().acks_sent;
        match ours {
            Some(request) => {
                let requested = both.connection.request_key_update(Instant::now(), request);
                requested.map_err(|error| error.to_string())?;
            }
            None => both.theirs.update_keys()?,
        }
        // BoringSSL's goes out with data.
        talk(both)?;
        let done = both.until("the KeyUpdate", |both| {
            expected.iter().all(|direction| both.updated.iter().filter(|updated| *updated == direction).count() == 1)
        });
        done.map_err(|error| format!("{error}, round {round}: {:?}", both.updated))?;
        if expected.contains(&Direction::Receiving) {
            // Until then the peer has no other (RFC 9147 §8).
            both.until("our ACK", |both| both.connection.stats().acks_sent > acks)?;
        }
        talk(both)?;
        if both.updated.len() != expected.len() + usize::from(more) {
            return Err(format!("these keys were updated: {:?}", both.updated));
        }
    }
    Ok(())
}

/// Further associations by what the first has left, `times` of them.
fn resume(ends: &mut Ends, first: &mut Both, times: usize) -> Result<(), String> {
    let full = first.connection.negotiated().ok_or("nothing negotiated")?.clone();
    same("the first handshake", full.handshake_kind(), HandshakeKind::Full)?;
    // The peer's client has its tickets when it has read.
    talk(first)?;
    match &ends.ours {
        Ours::Client(_, sessions) => {
            let sessions = sessions.clone();
            first.until("sessions", |_| sessions.len() >= times)?;
            sessions.close();
        }
        Ours::Server(_) => first.until("sessions at the peer", |_| ends.theirs.sessions() >= times)?,
    }
    // In DTLS 1.2 a NewSessionTicket is in the clear (RFC 5077 §3.3).
    if ends.row.version == Version::Dtls12 {
        let ticket = first.datagrams.iter().any(|seen| link::has_new_session_ticket(&seen.bytes));
        same("a ticket was sent", ends.row.feature != Feature::SessionId, ticket)?;
    }
    let full_len = handshake_len(first);
    for _ in 0..times {
        let mut both = ends.associate().map_err(|error| format!("after the first: {error}"))?;
        let resumed = both.connection.negotiated().ok_or("nothing negotiated")?;
        same("the handshake", resumed.handshake_kind(), HandshakeKind::Resumed)?;
        same("certificates", resumed.peer_certificates(), full.peer_certificates())?;
        same("retry", resumed.hello_retry_request(), full.hello_retry_request())?;
        same("resumed", true, both.theirs.facts()?.resumed)?;
        if ends.row.feature.has_cookie() {
            cookie(&both, NamedGroup::X25519)?;
        }
        // No certificate and no signature: some 1,200 octets less.
        let len = handshake_len(&both);
        if len + 800 > full_len {
            return Err(format!("a resumption of {len} octets, after a full handshake of {full_len}"));
        }
        talk(&mut both)?;
    }
    Ok(())
}

/// What the server has sent so far.
fn handshake_len(both: &Both) -> usize {
    both.datagrams.iter().filter(|seen| seen.from == memory::SERVER).map(|seen| seen.bytes.len()).sum()
}

fn ocsp_response(row: &Row, authority: &Authority, both: &mut Both) -> Result<(), String> {
    let stapled = std::fs::read(authority.ocsp_response()?).unwrap();
    let negotiated = both.connection.negotiated().ok_or("nothing negotiated")?;
    match (row.we, row.stack) {
        (Role::Client, _) => same("OCSP response", negotiated.ocsp_response(), Some(&stapled)),
        // It does not show it, but would have failed without.
        (Role::Server, Stack::WolfSsl) => Ok(()),
        (Role::Server, _) => same("OCSP response", Some(stapled), both.theirs.facts()?.ocsp_response),
    }
}

fn timestamps(row: &Row, both: &mut Both) -> Result<(), String> {
    let negotiated = both.connection.negotiated().ok_or("nothing negotiated")?;
    match row.we {
        Role::Client => same("timestamps", negotiated.signed_certificate_timestamps().collect(), vec![TIMESTAMP]),
        Role::Server => same("timestamps", Some(TIMESTAMPS.to_vec()), both.theirs.facts()?.timestamps),
    }
}

fn srtp(profile: Profile, both: &mut Both) -> Result<(), String> {
    let negotiated = both.connection.negotiated().ok_or("nothing negotiated")?;
    same("what was to be chosen", Some(profile.wire()), negotiated.srtp_profile())?;
    let ours = (profile.openssl_name().to_owned(), Profile::keys(&both.connection)?);
    same("SRTP", Some(ours), both.theirs.facts()?.srtp)
}

/// One cookie, which was good.
fn cookie(both: &Both, group: NamedGroup) -> Result<(), String> {
    let stats = both.endpoint_stats().ok_or("no endpoint")?;
    same("cookies sent and accepted", (1, 1), (stats.cookies_sent, stats.cookies_accepted))?;
    let negotiated = both.connection.negotiated().ok_or("nothing negotiated")?;
    if group == NamedGroup::X25519MLKEM768 {
        same("group", group, negotiated.group())?;
        if stats.fragments_kept == 0 {
            return Err("no ClientHello came in fragments".into());
        }
    }
    Ok(())
}

fn protocol(both: &mut Both) -> Result<(), String> {
    let negotiated = both.connection.negotiated().ok_or("nothing negotiated")?;
    let ours = negotiated.alpn_protocol().map(Vec::from);
    same("what was to be chosen", Some(PROTOCOLS[1].into()), ours.clone())?;
    same("protocol", ours, both.theirs.facts()?.protocol)
}

/// The server has the client's, and the client sees it acknowledged.
fn server_name(ends: &Ends, both: &mut Both) -> Result<(), String> {
    let negotiated = both.connection.negotiated().ok_or("nothing negotiated")?;
    let ours = negotiated.server_name().map(String::from);
    same("what was to be sent", Some(SERVER_NAME.into()), ours.clone())?;
    match ends.row.we {
        Role::Client => same("server name", ours, both.theirs.facts()?.server_name),
        Role::Server => Ok(()),
    }
}
