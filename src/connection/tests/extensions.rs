//! What extensions do to an association: sizes of records, keys for SRTP.

use super::*;
use crate::error::{ApiMisuse, PeerMisbehaved};
use crate::wire::{AlertDescription, SrtpProfile, record::MAX_PLAINTEXT_LEN};

fn limited(version: ProtocolVersion, limit: usize) -> Setup {
    let mut setup = Setup { mutual: true, ..Setup::new(version) };
    setup.transport.set_record_size_limit(limit).unwrap();
    setup
}

/// The whole handshake, and data, keep to the limit: both ends would end it otherwise.
#[test]
fn records_are_no_longer_than_the_peer_takes() {
    for version in VERSIONS {
        for limit in [64, 100, 999, MAX_PLAINTEXT_LEN] {
            let mut pair = limited(version, limit).established();
            let usual = Setup::new(version).established().client.max_payload();
            assert_eq!(pair.client.max_payload(), limit.min(usual));
            let payload = vec![7; pair.client.max_payload()];
            let datagram = send(&mut pair.client, &payload, pair.now);
            assert_eq!(give(&mut pair.server, &datagram, pair.now), Ok(vec![payload.clone()]));
            let mut buffer = [0; 2048];
            let longer = pair.client.send(pair.now, &vec![7; payload.len() + 1], &mut buffer);
            assert_eq!(longer, Err(crate::connection::SendError::TooLarge { max: payload.len() }));
        }
    }
}

/// RFC 8449 §4: "record_overflow", since it is the peer's.
#[test]
fn a_record_above_our_limit_is_fatal() {
    for version in VERSIONS {
        let mut pair = limited(version, 200).established();
        // A peer that does not keep to it.
        pair.client.records.limit_content(crate::wire::record::ContentLimits::USUAL);
        let fits = send(&mut pair.client, &[7; 200], pair.now);
        assert_eq!(give(&mut pair.server, &fits, pair.now), Ok(vec![vec![7; 200]]));
        let too_long = send(&mut pair.client, &[7; 201], pair.now);
        let error = give(&mut pair.server, &too_long, pair.now).unwrap_err();
        assert_eq!(error, PeerMisbehaved::PlaintextTooLong.into());
        assert_eq!(error.alert(), Some(AlertDescription::RECORD_OVERFLOW));
    }
}

#[test]
fn keys_for_srtp() {
    for version in VERSIONS {
        let mut pair = Setup::new(version).established();
        assert_eq!(pair.client.srtp_keying_material().err(), Some(ApiMisuse::NoSrtpProfile));
        pair.client.abort(AlertDescription::INTERNAL_ERROR);
        assert_eq!(pair.client.srtp_keying_material().err(), Some(ApiMisuse::HandshakeNotComplete));
    }
}

/// RFC 9147 §5.8.2: "media" cannot wait a second.
#[test]
fn the_first_retransmission_of_media_comes_early() {
    let timeout = |chosen: Option<u64>, media: bool, transport_last: bool| {
        let builder = ClientConfig::builder().with_peer_fingerprints([Fingerprint::of(&IDENTITY.certificate)]);
        let mut config = builder.unwrap().with_no_client_auth();
        let mut transport = TransportConfig::new();
        if let Some(chosen) = chosen {
            transport.set_timeouts(Duration::from_millis(chosen), 60 * SECOND).unwrap();
        }
        let profiles: &[_] = if media { &[SrtpProfile::SRTP_AEAD_AES_128_GCM] } else { &[] };
        if !transport_last {
            config.set_transport(transport.clone());
        }
        config.set_srtp_profiles(profiles).unwrap();
        if transport_last {
            config.set_transport(transport);
        }
        let now = Instant::now();
        let mut client = Connection::client(Arc::new(config), None, now).unwrap();
        drain(&mut client, now);
        (client.poll_timeout().unwrap() - now).as_millis()
    };
    for last in [false, true] {
        assert_eq!(timeout(None, false, last), 1000);
        assert_eq!(timeout(None, true, last), 400);
        assert_eq!(timeout(Some(1000), true, last), 1000);
        assert_eq!(timeout(Some(700), true, last), 700);
    }
}
