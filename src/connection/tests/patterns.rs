//! What state machines of DTLS were found to take though they must not, as far as records, epochs and ends go: real
//! handshakes of both versions, at every stage, and records sealed with the peer's own keys. Messages and their order are
//! tried in `handshake/tests_patterns.rs`.

use super::*;
use crate::connection::CloseReason;
use crate::error::{Discard, PeerMisbehaved};
use crate::wire::{
    AlertDescription,
    ack::{Epoch, RecordNumber},
    handshake::HANDSHAKE_HEADER_LEN,
};

/// Which end is attacked; the other one's keys are the attacker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Client,
    Server,
}

const VICTIMS: [Victim; 2] = [Victim::Client, Victim::Server];

impl Pair {
    fn victim(&mut self, victim: Victim) -> &mut Connection {
        match victim {
            Victim::Client => &mut self.client,
            Victim::Server => &mut self.server,
        }
    }

    /// The victim's peer.
    fn peer(&mut self, victim: Victim) -> &mut Connection {
        match victim {
            Victim::Client => &mut self.server,
            Victim::Server => &mut self.client,
        }
    }

    fn attack(&mut self, victim: Victim, datagram: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let now = self.now;
        give(self.victim(victim), datagram, now)
    }

    /// The handshake up to here: so many times all that one end has to say has reached the other, the client's first.
    fn advance(&mut self, stage: usize) {
        for step in 0..stage {
            if step % 2 == 0 {
                let up = self.up();
                self.give_server(&up);
            } else {
                let down = self.down();
                self.give_client(&down);
            }
        }
    }

    /// To its end, with all the time that it takes, unless an end fails. Nobody may hear of data meanwhile.
    fn finish(&mut self) -> Result<(), Error> {
        for _ in 0..20 {
            for _ in 0..10 {
                let (up, down) = (self.up(), self.down());
                for (victim, datagrams) in [(Victim::Server, up), (Victim::Client, down)] {
                    for datagram in datagrams {
                        assert_eq!(self.attack(victim, &datagram)?, Vec::<Vec<u8>>::new());
                    }
                }
            }
            if self.client.is_established() && self.server.is_established() {
                return Ok(());
            }
            self.sleep();
        }
        panic!("they go on for ever");
    }
}

/// From nothing but a ClientHello that waits to be sent, to where both ends are at rest.
const STAGES: std::ops::RangeInclusive<usize> = 0..=6;

/// A record of the end's choice under its keys of this epoch, if it has some.
fn seal(end: &mut Connection, epoch: Epoch, content_type: ContentType, payload: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; payload.len() + 64];
    let sealed = end.records.seal(epoch, content_type, &mut out, |room| {
        room[..payload.len()].copy_from_slice(payload);
        Some(payload.len())
    });
    out.truncate(sealed.ok()??.len);
    Some(out)
}

/// One that nobody has sealed, in the form of the version.
fn unsealed(version: ProtocolVersion, epoch: Epoch, content_type: ContentType) -> Vec<u8> {
    let junk = [0x5a; 40];
    if version == ProtocolVersion::DTLS1_3 && epoch > Epoch::PLAINTEXT {
        return [&[0x2c | (epoch.0 & 3) as u8, 0, 7, 0, 40][..], &junk].concat();
    }
    let header = PlaintextHeader {
        content_type,
        version: ProtocolVersion::DTLS1_2,
        epoch: epoch.0,
        sequence_number: 99,
        length: 40,
    };
    [&header.encode()[..], &junk].concat()
}

/// What an end would send now, handshake message by handshake message (or ChangeCipherSpec), not sealed.
fn flight(end: &mut Connection) -> Vec<(Epoch, ContentType, Vec<u8>)> {
    let mut parts = Vec::new();
    let mut number = 1 << 40;
    while let Some(pending) = end.outgoing.next() {
        let mut payload = vec![0; 4000];
        let len = end.outgoing.fill(&mut payload).unwrap();
        end.outgoing.sent(RecordNumber::new(Epoch::PLAINTEXT, number));
        number += 1;
        let mut rest = &payload[..len];
        while !rest.is_empty() {
            let len = match pending.content_type {
                ContentType::HANDSHAKE => HANDSHAKE_HEADER_LEN + usize::from(u16::from_be_bytes([rest[10], rest[11]])),
                _ => rest.len(),
            };
            parts.push((pending.epoch, pending.content_type, rest[..len].to_vec()));
            rest = &rest[len..];
        }
    }
    parts
}

fn is_finished(part: &(Epoch, ContentType, Vec<u8>)) -> bool {
    part.1 == ContentType::HANDSHAKE && part.2[0] == HandshakeType::FINISHED.0
}

/// Handshakes in which the flight with this end's Finished has not been sent yet, and what it is.
fn before_finished(setup: &Setup, of: Victim) -> (Pair, Vec<(Epoch, ContentType, Vec<u8>)>) {
    let mut pair = setup.pair();
    loop {
        for sender in VICTIMS {
            let parts = flight(pair.victim(sender));
            if sender == of && parts.iter().any(is_finished) {
                return (pair, parts);
            }
            let to = if sender == Victim::Client { Victim::Server } else { Victim::Client };
            for (epoch, content_type, payload) in parts {
                let record = seal(pair.victim(sender), epoch, content_type, &payload).unwrap();
                assert_eq!(pair.attack(to, &record), Ok(vec![]));
            }
        }
    }
}

const TYPES: [(ContentType, &[u8]); 9] = [
    (ContentType::CHANGE_CIPHER_SPEC, &[1]),
    // A warning that says nothing: user_canceled.
    (ContentType::ALERT, &[1, 90]),
    // A HelloRequest.
    (ContentType::HANDSHAKE, &[0; 12]),
    (ContentType::APPLICATION_DATA, b"secret"),
    // heartbeat (RFC 6520).
    (ContentType(24), b"\x01\xff\xff"),
    (ContentType::TLS12_CID, b"x"),
    // An empty ACK.
    (ContentType::ACK, &[0, 0]),
    (ContentType(27), b"x"),
    (ContentType(77), b"x"),
];

/// Every content type in every epoch at every stage. Data is delivered after the handshake and in its epoch alone; what has
/// no place is fatal under keys, and without them leaves the handshake to complete as if nothing had come.
#[test]
fn r4_r5_z5_records_count_where_they_belong() {
    for version in VERSIONS {
        let data_epoch = Epoch(if version == ProtocolVersion::DTLS1_3 { 3 } else { 1 });
        for stage in STAGES {
            for victim in VICTIMS {
                for (content_type, payload) in TYPES {
                    for epoch in [0, 1, 2, 3, 4, 5, 0x7fff, 0xffff].map(Epoch) {
                        let mut pair = Setup::new(version).pair();
                        pair.advance(stage);
                        let sealed = seal(pair.peer(victim), epoch, content_type, payload);
                        let datagram = sealed.clone().unwrap_or_else(|| unsealed(version, epoch, content_type));
                        let established = pair.victim(victim).is_established();
                        let what = format!("{version} {victim:?} at {stage}: {content_type:?} in {epoch:?}");
                        match pair.attack(victim, &datagram) {
                            Ok(data) => {
                                let due = content_type == ContentType::APPLICATION_DATA
                                    && established
                                    && epoch == data_epoch
                                    && sealed.is_some();
                                assert_eq!(data.len(), usize::from(due), "{what}");
                                // What came before its keys may be fatal when they have come.
                                if let Err(error) = pair.finish() {
                                    assert!(sealed.is_some() && epoch > Epoch::PLAINTEXT, "{what}: {error}");
                                    assert_eq!(error.alert(), Some(AlertDescription::UNEXPECTED_MESSAGE), "{what}");
                                }
                            }
                            Err(error) => {
                                assert!(sealed.is_some() && epoch > Epoch::PLAINTEXT, "{what}: {error}");
                                assert_eq!(error.alert(), Some(AlertDescription::UNEXPECTED_MESSAGE), "{what}");
                                assert!(!pair.victim(victim).is_established(), "{what}");
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Whatever its number, whenever it comes, before, during and after every handshake, at both ends.
#[test]
fn r3_plaintext_application_data_never_reaches_the_application() {
    for setup in Setup::all() {
        for stage in STAGES {
            for victim in VICTIMS {
                let mut pair = setup.pair();
                pair.advance(stage);
                for sequence in [0, 1, 2, 70, (1 << 48) - 1] {
                    let forged = plaintext(ContentType::APPLICATION_DATA, sequence, b"forged");
                    assert_eq!(pair.attack(victim, &forged), Ok(vec![]), "{victim:?} at {stage}");
                }
                assert!(pair.victim(victim).stats().discarded_in_all() >= 5);
            }
        }
    }
}

/// Data that the peer seals as early as it has keys counts only once the handshake is complete: it is lost, not kept.
#[test]
fn s2_data_before_the_end_of_the_handshake_is_never_delivered() {
    for setup in Setup::all() {
        let (mut early, mut tried) = (0, 0);
        for stage in STAGES {
            for victim in VICTIMS {
                let mut pair = setup.pair();
                pair.advance(stage);
                let epoch = pair.peer(victim).conduct.write_epoch;
                if epoch == Epoch::PLAINTEXT || epoch == Epoch(2) || pair.victim(victim).is_established() {
                    continue;
                }
                tried += 1;
                let record = seal(pair.peer(victim), epoch, ContentType::APPLICATION_DATA, b"early").unwrap();
                assert_eq!(pair.attack(victim, &record), Ok(vec![]));
                // None is delivered on the way, as `finish` sees; in 1.3 what came in the wrong epoch may come again.
                assert_eq!(pair.finish(), Ok(()));
                let stats = pair.victim(victim).stats();
                early += stats.discarded(Discard::ApplicationData) + stats.discarded(Discard::UnknownEpoch);
                let again: usize = (0..3).map(|_| pair.attack(victim, &record).unwrap().len()).sum();
                assert!(again <= usize::from(setup.version == ProtocolVersion::DTLS1_3), "{victim:?} at {stage}");
            }
        }
        assert!(tried > 0 && early > 0, "{tried} {early}");
    }
}

/// The same where the keys are there already: what belongs to the Finished comes piece by piece, with data behind each.
#[test]
fn s2_data_between_change_cipher_spec_and_finished_is_never_delivered() {
    for setup in Setup::all() {
        let of_data = Epoch(if setup.version == ProtocolVersion::DTLS1_3 { 3 } else { 1 });
        for victim in VICTIMS {
            let of = if victim == Victim::Client { Victim::Server } else { Victim::Client };
            let (mut pair, parts) = before_finished(&setup, of);
            for part in parts.iter().filter(|part| !is_finished(part)) {
                let record = seal(pair.peer(victim), part.0, part.1, &part.2).unwrap();
                assert_eq!(pair.attack(victim, &record), Ok(vec![]));
                if let Some(data) = seal(pair.peer(victim), of_data, ContentType::APPLICATION_DATA, b"early") {
                    assert_eq!(pair.attack(victim, &data), Ok(vec![]), "{:?} {victim:?}", setup.version);
                }
            }
            assert!(!pair.victim(victim).is_established());
        }
    }
}

/// A Finished that is not under the keys that it confirms: in plaintext, and in 1.3 under those of the data that follow it.
#[test]
fn s3_sm33_a_finished_of_another_epoch_is_none() {
    for setup in Setup::all() {
        for victim in VICTIMS {
            let of = if victim == Victim::Client { Victim::Server } else { Victim::Client };
            for wrong in [Epoch(0), Epoch(3)] {
                let (mut pair, parts) = before_finished(&setup, of);
                for part in &parts {
                    let (epoch, content_type, payload) = part;
                    let epoch = if is_finished(part) { wrong } else { *epoch };
                    let Some(record) = seal(pair.peer(victim), epoch, *content_type, payload) else { continue };
                    assert_eq!(pair.attack(victim, &record), Ok(vec![]));
                }
                assert!(!pair.victim(victim).is_established(), "{:?} {victim:?} {wrong:?}", setup.version);
            }
            // The same parts, each where it belongs.
            let (mut pair, parts) = before_finished(&setup, of);
            for (epoch, content_type, payload) in parts {
                let record = seal(pair.peer(victim), epoch, content_type, &payload).unwrap();
                assert_eq!(pair.attack(victim, &record), Ok(vec![]));
            }
            assert!(pair.victim(victim).is_established());
        }
    }
}

/// Messages are taken by their numbers: a handshake that leaves one out waits for it, and in the end gives up.
#[test]
fn sm22_no_handshake_completes_with_wrong_numbers() {
    for setup in Setup::all() {
        for victim in VICTIMS {
            let of = if victim == Victim::Client { Victim::Server } else { Victim::Client };
            for shift in [1_u16, 2, 0xffff, 100] {
                let (mut pair, parts) = before_finished(&setup, of);
                for (epoch, content_type, mut payload) in parts {
                    if content_type == ContentType::HANDSHAKE {
                        let number = u16::from_be_bytes([payload[4], payload[5]]).wrapping_add(shift);
                        payload[4..6].copy_from_slice(&number.to_be_bytes());
                    }
                    let record = seal(pair.peer(victim), epoch, content_type, &payload).unwrap();
                    // One less: the last flight's last message comes first, as another one than it was.
                    let _ = pair.attack(victim, &record);
                }
                assert!(!pair.victim(victim).is_established(), "{:?} {victim:?} {shift}", setup.version);
                let now = pair.now;
                let end = pair.victim(victim);
                let mut waited = 0;
                while let Some(deadline) = end.poll_timeout() {
                    end.handle_timeout(deadline.max(now));
                    drain(end, deadline.max(now));
                    waited += 1;
                    assert!(waited < 1000);
                }
                assert!(!end.is_established() && end.negotiated().is_none());
            }
        }
    }
}

/// Data in the epoch of the handshake is the peer's fault (RFC 9147 §6.1), an ACK of a higher epoch than its own as well
/// (draft-ietf-tls-rfc9147bis §7.2).
#[test]
fn s10_sm34_data_and_acks_keep_to_their_epochs() {
    let ack = [&[0, 16][..], &3_u64.to_be_bytes(), &0_u64.to_be_bytes()].concat();
    for victim in VICTIMS {
        for (content_type, payload, fault, alert) in [
            (
                ContentType::APPLICATION_DATA,
                &b"data"[..],
                PeerMisbehaved::ApplicationDataInWrongEpoch,
                AlertDescription::UNEXPECTED_MESSAGE,
            ),
            (ContentType::ACK, &ack, PeerMisbehaved::AckOfHigherEpoch, AlertDescription::ILLEGAL_PARAMETER),
        ] {
            let mut pair = Setup::new(ProtocolVersion::DTLS1_3).pair();
            pair.advance(2);
            let record = seal(pair.peer(victim), Epoch(2), content_type, payload).unwrap();
            assert_eq!(pair.attack(victim, &record), Err(fault.into()), "{victim:?}");
            assert_eq!(Error::from(fault).alert(), Some(alert));
        }
    }
}

/// There is no ACK in the epoch of early data, and none in 1.2: neither does anything.
#[test]
fn sm35_an_ack_of_epoch_1_is_none() {
    for version in VERSIONS {
        for stage in STAGES {
            for victim in VICTIMS {
                let mut pair = Setup::new(version).pair();
                pair.advance(stage);
                let everything = [&[0, 16][..], &1_u64.to_be_bytes(), &0_u64.to_be_bytes()].concat();
                let sealed = seal(pair.peer(victim), Epoch(1), ContentType::ACK, &everything);
                let datagram = sealed.unwrap_or_else(|| unsealed(version, Epoch(1), ContentType::ACK));
                assert_eq!(pair.attack(victim, &datagram), Ok(vec![]));
                assert_eq!(
                    pair.victim(victim).stats().acks_received,
                    u64::from(stage > 3 && version == VERSIONS[1] && victim == Victim::Client)
                );
                assert_eq!(pair.finish(), Ok(()));
            }
        }
    }
}

/// In plaintext anyone can send a ChangeCipherSpec, whatever it holds; under keys it is the peer's, and fatal
/// (RFC 8446 §5: "An implementation which receives any other change_cipher_spec value or which receives a protected
/// change_cipher_spec record MUST abort").
#[test]
fn s1_sm15_sm41_odd_change_cipher_specs() {
    let odd: [&[u8]; 6] = [&[], &[0], &[2], &[1, 1], &[1; 600], &[0xff; 40]];
    for setup in Setup::all() {
        for stage in STAGES {
            for victim in VICTIMS {
                let mut pair = setup.pair();
                pair.advance(stage);
                for (sequence, payload) in (1000..).zip(odd) {
                    let forged = plaintext(ContentType::CHANGE_CIPHER_SPEC, sequence, payload);
                    assert_eq!(pair.attack(victim, &forged), Ok(vec![]), "{victim:?} at {stage}");
                }
                assert_eq!(pair.finish(), Ok(()));
                for payload in [&[1][..], &[2], &[]] {
                    let epoch = pair.peer(victim).conduct.write_epoch;
                    let record = seal(pair.peer(victim), epoch, ContentType::CHANGE_CIPHER_SPEC, payload).unwrap();
                    let error = pair.attack(victim, &record).unwrap_err();
                    assert_eq!(error.alert(), Some(AlertDescription::UNEXPECTED_MESSAGE));
                    pair = setup.established();
                }
            }
        }
    }
}

/// Whoever was told that it is over goes no further, whatever else comes: at every stage of every handshake, under the
/// newest keys there are.
#[test]
fn s11_sm20_sm21_nothing_goes_on_after_the_end() {
    for setup in Setup::all() {
        for stage in STAGES {
            for victim in VICTIMS {
                for alert in [AlertDescription::CLOSE_NOTIFY, AlertDescription::DECRYPT_ERROR, AlertDescription(0xc8)] {
                    told_of_the_end(&setup, stage, victim, alert);
                }
            }
        }
    }
}

fn told_of_the_end(setup: &Setup, stage: usize, victim: Victim, alert: AlertDescription) {
    let mut pair = setup.pair();
    pair.advance(stage);
    let epoch = pair.peer(victim).conduct.write_epoch;
    let level = if alert == AlertDescription::CLOSE_NOTIFY { 1 } else { 2 };
    let record = seal(pair.peer(victim), epoch, ContentType::ALERT, &[level, alert.0]).unwrap();
    let closes = pair.victim(victim).is_established() && alert == AlertDescription::CLOSE_NOTIFY;
    let told = pair.attack(victim, &record);
    let over = Err(Error::AlertReceived(alert));
    if closes {
        assert_eq!(told, Ok(vec![]));
        assert!(pair.victim(victim).is_peer_closed());
    } else if told.is_ok() {
        // Its keys are not there yet. If it was kept, it counts as soon as they are.
        let finished = pair.finish();
        let failed =
            events(pair.victim(victim)).contains(&Event::Closed(CloseReason::Failed(Error::AlertReceived(alert))));
        assert!(finished == Ok(()) || failed, "{victim:?} at {stage}: {finished:?}");
        return;
    } else {
        assert_eq!(told, over, "{victim:?} at {stage}");
    }
    // All that the peer still has to say, and data of its.
    let now = pair.now;
    for _ in 0..3 {
        for datagram in drain(pair.peer(victim), now) {
            let given = pair.attack(victim, &datagram);
            assert!(given == over || closes && given == Ok(vec![]), "{victim:?} at {stage}: {given:?}");
        }
        drain(pair.victim(victim), now);
    }
    for _ in 0..3 {
        let Some(data) = seal(pair.peer(victim), epoch, ContentType::APPLICATION_DATA, b"late") else { break };
        let late = pair.attack(victim, &data);
        assert!(late == over || closes && late == Ok(vec![]), "{victim:?} at {stage}: {late:?}");
    }
    assert!(closes || !pair.victim(victim).is_established());
    let failures =
        events(pair.victim(victim)).into_iter().filter(|event| matches!(event, Event::Closed(CloseReason::Failed(_))));
    assert_eq!(failures.count(), usize::from(!closes));
}

/// What a handshake takes is given back when it is over: at once what the peer sent, and what might have to be said again
/// when nobody can ask for it any more.
#[test]
fn f8_nothing_of_the_handshake_is_kept() {
    for setup in Setup::all() {
        let mut pair = setup.established();
        for end in [&pair.client, &pair.server] {
            assert_eq!(end.incoming.buffered(), 0);
        }
        pair.now += 241 * SECOND;
        let data = [send(&mut pair.client, b"up", pair.now), send(&mut pair.server, b"down", pair.now)];
        give(&mut pair.server, &data[0], pair.now).unwrap();
        give(&mut pair.client, &data[1], pair.now).unwrap();
        for end in [&mut pair.client, &mut pair.server] {
            end.handle_timeout(pair.now);
            assert_eq!((end.incoming.buffered(), end.outgoing.buffered()), (0, 0));
        }
    }
}

/// All that waits, the first datagram of it no longer than `first`.
fn drain_cut(end: &mut Connection, now: Instant, first: usize) -> Vec<Vec<u8>> {
    let mut buffer = [0; 2048];
    let mut datagrams = Vec::new();
    if let Some(len) = end.poll_transmit(now, &mut buffer[..first]).unwrap() {
        datagrams.push(buffer[..len].to_vec());
        datagrams.extend(drain(end, now));
    }
    datagrams
}

/// Every flight cut at every octet, in both versions and in both directions, in order and the other way round.
#[test]
fn f10_every_message_may_be_cut_anywhere() {
    for (version, retry) in [(VERSIONS[0], false), (VERSIONS[1], true)] {
        let setup = Setup { mutual: true, retry, ..Setup::new(version) };
        let longest = 1200;
        let floor = setup.pair().client.mtu_floor().max(100);
        for first in floor..longest {
            let mut pair = setup.pair();
            let mut cut = 0;
            for _ in 0..8 {
                let mut up = drain_cut(&mut pair.client, pair.now, first);
                let mut down = drain_cut(&mut pair.server, pair.now, first);
                cut += usize::from(up.len() > 1) + usize::from(down.len() > 1);
                if first % 2 == 1 {
                    up.reverse();
                    down.reverse();
                }
                pair.give_server(&up);
                pair.give_client(&down);
            }
            assert!(pair.client.is_established() && pair.server.is_established(), "{version}: cut at {first}");
            if cut == 0 {
                break;
            }
        }
    }
}

/// No sequence of records, fragments or messages goes deeper the longer it is: all of it on a small stack.
#[test]
fn s20_no_sequence_is_too_long() {
    let run = || {
        for version in VERSIONS {
            let mut pair = Setup::new(version).established();
            for content in [(ContentType::ALERT, &[1, 90][..]), (ContentType::APPLICATION_DATA, &[])] {
                let mut datagram = Vec::new();
                while datagram.len() < 60_000 {
                    let epoch = pair.client.conduct.write_epoch;
                    datagram.extend(seal(&mut pair.client, epoch, content.0, content.1).unwrap());
                }
                assert!(pair.attack(Victim::Server, &datagram).is_ok());
            }
            // In a handshake: records of many empty fragments, and of many old messages.
            let mut pair = Setup::new(version).pair();
            pair.advance(1);
            let empty = [2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0].repeat(1000);
            let old = message(HandshakeType::HELLO_REQUEST, 0, &[]).repeat(1000);
            for payload in [empty, old] {
                let many: Vec<u8> = (0..4).flat_map(|n| plaintext(ContentType::HANDSHAKE, 500 + n, &payload)).collect();
                assert_eq!(pair.attack(Victim::Client, &many), Ok(vec![]));
                assert_eq!(pair.attack(Victim::Server, &many), Ok(vec![]));
            }
            assert_eq!(pair.finish(), Ok(()));
        }
    };
    std::thread::Builder::new().stack_size(512 << 10).spawn(run).unwrap().join().unwrap();
}
