//! The HelloRetryRequest that is sent, and the one that is made of its cookie.

use super::*;
use crate::wire::{
    CipherSuite, NamedGroup, SignatureScheme,
    extensions::put_list16,
    hello::{ClientHelloFields, HELLO_RETRY_REQUEST_RANDOM},
};
use rustls::pki_types::PrivateKeyDer;

fn listener(now: Instant) -> Listener {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let chain = vec![made.cert.der().clone()];
    let mut config = ServerConfig::builder().with_no_client_auth().unwrap().with_single_cert(chain, key).unwrap();
    config.set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1]).unwrap();
    Listener::new(Arc::new(config), CookieKeys::new(now).unwrap())
}

/// A ClientHello's body with a share of this group.
fn hello(suite: CipherSuite, share: NamedGroup, cookie: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let fields = ClientHelloFields { random: &[7; 32], session_id: &[], legacy_cookie: &[], cipher_suites: &[suite] };
    fields.put(&mut body, |out| {
        put_extension(out, ExtensionType::SUPPORTED_VERSIONS, |out| {
            out.put_vec::<1>(|out| out.put_u16(ProtocolVersion::DTLS1_3.into()));
        });
        put_list16(out, ExtensionType::SUPPORTED_GROUPS, &[NamedGroup::SECP256R1, NamedGroup::X25519]);
        put_list16(out, ExtensionType::SIGNATURE_ALGORITHMS, &[SignatureScheme::ECDSA_SECP256R1_SHA256]);
        put_extension(out, ExtensionType::KEY_SHARE, |out| {
            out.put_vec::<2>(|out| {
                out.put_u16(share.into());
                out.put_vec::<2>(|out| out.put(&[9; 32]));
            });
        });
        if !cookie.is_empty() {
            put_extension(out, ExtensionType::COOKIE, |out| out.put_vec::<2>(|out| out.put(cookie)));
        }
    });
    body
}

/// Both enter the transcript at their end: they must not differ in an octet (RFC 9147 §5.1).
#[test]
fn a_retry_is_rebuilt_to_the_octet() {
    let now = Instant::now();
    let listener = listener(now);
    let source = Source::new("192.0.2.1:4433".parse().unwrap(), None).unwrap();
    let suites = [CipherSuite::TLS_AES_128_GCM_SHA256, CipherSuite::TLS_AES_256_GCM_SHA384];
    let mut lengths = Vec::new();
    for (suite, hash_len) in suites.into_iter().zip([32, 48]) {
        for share in [NamedGroup::X25519, NamedGroup::SECP256R1] {
            let (first, mut reply) = (hello(suite, share, &[]), [0; MAX_REPLY]);
            let request = Request { hello: &first, message_seq: 5, record: 9, received: first.len() };
            let decision = listener.decide(now, &source, &request, &mut reply);
            let Decision::Reply(Reply { len, kind: ReplyKind::HelloRetryRequest, .. }) = decision else {
                panic!("{decision:?}")
            };
            lengths.push(len);
            let mut r = Reader::new(&reply[..len]);
            let header = PlaintextHeader::read(&mut r).unwrap();
            assert_eq!((header.sequence_number, usize::from(header.length)), (9, len - PLAINTEXT_HEADER_LEN));
            let sent = Fragment::read(&mut r).unwrap();
            assert_eq!((sent.header.message_seq, sent.body.len()), (5, sent.header.length));
            let retry = ServerHello::read(sent.body).unwrap();
            assert_eq!(*retry.random, HELLO_RETRY_REQUEST_RANDOM);
            assert_eq!((retry.cipher_suite, retry.selected_version()), (suite, Ok(Some(ProtocolVersion::DTLS1_3))));
            // X25519 is what the server likes best, and it says so if it has no share of it.
            let wanted = if share == NamedGroup::X25519 { None } else { Some(NamedGroup::X25519) };
            assert_eq!(retry.selected_group(), Ok(wanted));

            let second = hello(suite, NamedGroup::X25519, retry.cookie().unwrap().unwrap());
            let request = Request { hello: &second, message_seq: 6, record: 12, received: second.len() };
            let decision = listener.decide(now, &source, &request, &mut [0; MAX_REPLY]);
            let Decision::Accept(validated) = decision else { panic!("{decision:?}") };
            assert_eq!((validated.hello.message_seq, validated.hello.sequence_number), (6, 12));
            let StatelessStart::RetriedClientHello(rebuilt) = validated.hello.start else { panic!("no retry") };
            assert_eq!((&rebuilt.request[..], rebuilt.group, rebuilt.suite.id), (sent.body, NamedGroup::X25519, suite));
            // "message_hash" is over the first message with its header of TLS (RFC 9147 §5.2, RFC 8446 §4.4.1).
            let [_, l0, l1, l2] = u32::try_from(first.len()).unwrap().to_be_bytes();
            let hash = rebuilt.suite.hash().hash(&[&[1, l0, l1, l2][..], &first].concat());
            assert_eq!((hash.as_ref(), hash.as_ref().len()), (&rebuilt.client_hello_hash[..], hash_len));
        }
    }
    // Nothing was left out of the longest.
    assert_eq!(lengths, [151, 157, 167, 173]);
}
