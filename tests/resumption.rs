//! Sessions as an application sees them: events, resumption behind a stateless listener, and with a store of its own.

mod common {
    pub(crate) mod ends;
}

use common::ends::{client_config, deliver, drain, new_client, server_config};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::DefaultTimeProvider;
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use udtls::{
    AlertDescription, ClientConfig, ClientSessionStore, Connection, CookieKeys, Decision, Error, Event, HandshakeKind,
    HelloRetryRequest, Listener, NamedGroup, Negotiated, ProtocolVersion, ServerConfig, Session, Source, Ticketer,
};

/// Passes datagrams until nobody has any.
fn run(client: &mut Connection, server: &mut Connection, now: Instant) {
    loop {
        let (mut up, mut down) = (drain(client, now), drain(server, now));
        if up.is_empty() && down.is_empty() {
            return;
        }
        up.iter_mut().for_each(|datagram| drop(deliver(server, now, datagram).unwrap()));
        down.iter_mut().for_each(|datagram| drop(deliver(client, now, datagram).unwrap()));
    }
}

fn events(end: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| end.poll_event()).collect()
}

/// A handshake of a bare server; how it went at the client, and what its events were.
fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> (HandshakeKind, Vec<Event>) {
    let now = Instant::now();
    let mut client = new_client(client, now);
    let mut server = Connection::server(server.clone(), now).unwrap();
    run(&mut client, &mut server, now);
    let kinds = [&client, &server].map(|end| end.negotiated().unwrap().handshake_kind());
    assert_eq!(kinds[0], kinds[1]);
    (kinds[0], events(&mut client))
}

/// Says the same of every chain.
#[derive(Debug)]
struct Judge(Result<(), Error>);

impl Judge {
    fn judge(&self) -> Result<(), rustls::Error> {
        self.0.clone().map_err(Into::into)
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge().map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        panic!("never called")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        panic!("never called")
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

impl ClientCertVerifier for Judge {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge().map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        panic!("never called")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        panic!("never called")
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// What both ends know of each other's certificate, and whether they resumed.
type Outcome = (HandshakeKind, [Option<AlertDescription>; 2]);

/// Both ends show certificates, and judge the other's as they are told; sessions live as long as `store` and `ticketer`.
struct Mutual {
    version: ProtocolVersion,
    store: Arc<Octets>,
    ticketer: Arc<Ticketer>,
}

impl Mutual {
    fn new(version: ProtocolVersion) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let ticketer = Ticketer::new(provider, Arc::new(DefaultTimeProvider)).unwrap();
        Self { version, store: Arc::default(), ticketer: Arc::new(ticketer) }
    }

    fn handshake(&self, verdicts: [Result<(), Error>; 2], reverify: bool) -> Outcome {
        let now = Instant::now();
        let (certificate, key) = common::ends::identity();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
        let [client, server] = verdicts.map(|verdict| Arc::new(Judge(verdict)));
        let client = ClientConfig::builder().dangerous().with_custom_certificate_verifier(client).unwrap();
        let mut client = client.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap();
        client
            .set_versions(&[self.version])
            .unwrap()
            .set_session_store(self.store.clone())
            .set_session_context(b"same");
        let server = ServerConfig::builder().with_client_cert_verifier(server).unwrap();
        let mut server = server.with_single_cert(vec![certificate], key).unwrap();
        server.set_ticketer(self.ticketer.clone()).set_session_context(b"same");
        if reverify {
            client.reverify_on_resumption();
            server.reverify_on_resumption();
        }
        let mut client = new_client(&Arc::new(client), now);
        let mut server = Connection::server(Arc::new(server), now).unwrap();
        run(&mut client, &mut server, now);
        let negotiated = [&client, &server].map(|end| end.negotiated().unwrap());
        (negotiated[0].handshake_kind(), negotiated.map(Negotiated::accepted_despite))
    }
}

/// As an OpenSSL that verifies without insisting remembers `verify_result`.
#[test]
fn what_was_wrong_with_a_certificate_is_remembered_in_the_session() {
    let (expired, unknown) = (AlertDescription::CERTIFICATE_EXPIRED, AlertDescription::UNKNOWN_CA);
    let despite = |fault| Err(Error::AcceptedDespite(fault));
    for version in [ProtocolVersion::DTLS1_2, ProtocolVersion::DTLS1_3] {
        let ends = Mutual::new(version);
        let found = [despite(expired), despite(unknown)];
        let remembered = [Some(expired), Some(unknown)];
        assert_eq!(ends.handshake(found.clone(), false), (HandshakeKind::Full, remembered));
        // Nobody is asked again, however often the session is resumed.
        for _ in 0..3 {
            assert_eq!(ends.handshake([Ok(()), Ok(())], false), (HandshakeKind::Resumed, remembered));
        }
        // Unless everybody is, and from then on that is what counts.
        assert_eq!(ends.handshake([Ok(()), Ok(())], true), (HandshakeKind::Resumed, [None; 2]));
        let after = ends.handshake([Ok(()), Ok(())], false);
        assert_eq!((after.0, after.1[0]), (HandshakeKind::Resumed, None));
        let again = ends.handshake(found, true);
        assert_eq!(again, (HandshakeKind::Resumed, remembered));
    }
}

/// A peer may send any number of tickets: they take no memory but the store's.
#[test]
fn one_event_tells_of_all_tickets_since_the_last_look() {
    let mut server = server_config(ProtocolVersion::DTLS1_3);
    server.set_ticket_count(20);
    let (client, server) = (Arc::new(client_config(ProtocolVersion::DTLS1_3)), Arc::new(server));
    let (_, events) = handshake(&client, &server);
    assert_eq!(events, [Event::HandshakeComplete, Event::SessionTicket]);
    // The default store has kept eight of them, each for once: each handshake takes one and brings eight.
    for _ in 0..3 {
        assert_eq!(handshake(&client, &server).0, HandshakeKind::Resumed);
    }
}

/// The binder covers the first ClientHello's hash out of the cookie, and the HelloRetryRequest that was rebuilt from it
/// (RFC 8446 §4.2.11.2).
#[test]
fn a_session_is_resumed_behind_a_cookie() {
    let now = Instant::now();
    let mut config = server_config(ProtocolVersion::DTLS1_3);
    // In the second round another group is asked for, too.
    config.set_groups(&[NamedGroup::X25519, NamedGroup::SECP256R1]).unwrap();
    let mut other = config.clone();
    other.set_groups(&[NamedGroup::SECP256R1]).unwrap();
    let client = Arc::new(client_config(ProtocolVersion::DTLS1_3));
    assert_eq!(handshake(&client, &Arc::new(config.clone())).0, HandshakeKind::Full);
    for config in [config, other].map(Arc::new) {
        let listener = Listener::new(config.clone(), CookieKeys::new(now).unwrap());
        let source = Source::new("192.0.2.1:40000".parse::<SocketAddr>().unwrap(), None).unwrap();
        let mut client = new_client(&client, now);
        let mut out = [0; 200];
        let Decision::Reply(reply) = listener.handle(now, source, &drain(&mut client, now)[0], &mut out) else {
            panic!("a HelloRetryRequest")
        };
        deliver(&mut client, now, &mut out[..reply.len]).unwrap();
        let Decision::Accept(validated) = listener.handle(now, source, &drain(&mut client, now)[0], &mut out) else {
            panic!("a cookie that is good")
        };
        let mut server = validated.accept(config, now).unwrap();
        run(&mut client, &mut server, now);
        for end in [&client, &server] {
            let negotiated = end.negotiated().unwrap();
            assert_eq!(negotiated.handshake_kind(), HandshakeKind::Resumed);
            assert_eq!(negotiated.hello_retry_request(), HelloRetryRequest::Answered);
        }
    }
}

/// A store that keeps octets, as a file would.
#[derive(Debug, Default)]
struct Octets(Mutex<Vec<Vec<u8>>>);

impl ClientSessionStore for Octets {
    fn put(&self, _: &ServerName<'static>, session: Session) {
        self.0.lock().unwrap().push(session.to_bytes());
    }

    fn take(&self, _: &ServerName<'static>) -> Option<Session> {
        self.0.lock().unwrap().pop().and_then(|octets| Session::from_bytes(&octets).ok())
    }
}

/// What is trusted is part of the session: a configuration made anew of the same roots resumes it.
#[test]
fn a_session_is_resumed_by_another_process_that_trusts_the_same_roots() {
    let server = Arc::new(server_config(ProtocolVersion::DTLS1_3));
    let store = Arc::new(Octets::default());
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = client_config(ProtocolVersion::DTLS1_3);
        client.set_session_store(store.clone());
        assert_eq!(handshake(&Arc::new(client), &server).0, kind);
    }
    // Octets that are no session are as good as none.
    store.0.lock().unwrap().iter_mut().for_each(|octets| octets.truncate(20));
    let mut client = client_config(ProtocolVersion::DTLS1_3);
    client.set_session_store(store);
    assert_eq!(handshake(&Arc::new(client), &server).0, HandshakeKind::Full);
}
