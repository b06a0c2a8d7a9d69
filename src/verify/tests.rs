//! Who is accepted, and who is not.

use super::*;
use crate::wire::AlertDescription;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{DigitallySignedStruct, SignatureScheme};
use std::time::Duration;

const NAME: &str = "server.example";

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
        let params = CertificateParams::new(names).unwrap();
        params.signed_by(&KeyPair::generate().unwrap(), &self.0).unwrap().der().clone()
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    fn server_identity(&self) -> ServerIdentity {
        let builder = WebPkiServerVerifier::builder_with_provider(self.roots(), Arc::new(default_provider()));
        ServerIdentity::Verifier(builder.build().unwrap())
    }

    fn client_identity(&self) -> ClientIdentity {
        let builder = WebPkiClientVerifier::builder_with_provider(self.roots(), Arc::new(default_provider()));
        ClientIdentity::Verifier(builder.build().unwrap())
    }
}

/// A moment at which rcgen's certificates are valid.
fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_700_000_000))
}

fn server_name(name: &'static str) -> ServerName<'static> {
    ServerName::try_from(name).unwrap()
}

#[test]
fn a_server_is_accepted_by_authority_and_name() {
    let authority = Authority::new("authority");
    let identity = authority.server_identity();
    assert!(identity.needs_name());
    let chain = [authority.issue(&[NAME, "192.0.2.1"])];
    assert!(identity.verify(&chain, Some(&server_name(NAME)), &[], now()).is_ok());
    assert!(identity.verify(&chain, Some(&server_name("192.0.2.1")), &[], now()).is_ok());
}

#[test]
fn a_server_is_refused_by_name_authority_and_date() {
    let authority = Authority::new("authority");
    let identity = authority.server_identity();
    let chain = [authority.issue(&[NAME])];
    let refuse = |chain: &[_], name, now| identity.verify(chain, name, &[], now).map(drop).unwrap_err();
    let (name, other, ip) = (server_name(NAME), server_name("other.example"), server_name("192.0.2.1"));
    let wrong = refuse(&chain, Some(&other), now());
    assert!(matches!(wrong, Error::Certificate(CertificateError::NotValidForNameContext { .. })), "{wrong}");
    let address = refuse(&chain, Some(&ip), now());
    assert!(matches!(address, Error::Certificate(CertificateError::NotValidForNameContext { .. })), "{address}");
    let stranger = refuse(&[Authority::new("stranger").issue(&[NAME])], Some(&name), now());
    assert_eq!(stranger, Error::Certificate(CertificateError::UnknownIssuer));
    let early = refuse(&chain, Some(&name), UnixTime::since_unix_epoch(Duration::ZERO));
    assert!(matches!(early, Error::Certificate(CertificateError::NotValidYetContext { .. })), "{early}");
    assert_eq!(refuse(&chain, None, now()), Error::Certificate(CertificateError::NotValidForName));
    assert_eq!(refuse(&[], Some(&name), now()), Error::NoCertificate);
    let garbage = refuse(&[CertificateDer::from(vec![0x30, 0x82])], Some(&name), now());
    assert_eq!(garbage, Error::Certificate(CertificateError::BadEncoding));
}

#[test]
fn a_client_is_accepted_by_authority() {
    let authority = Authority::new("authority");
    let identity = authority.client_identity();
    assert_eq!(identity.client_auth(), ClientAuth::Required);
    assert_eq!(identity.authorities().len(), 1);
    assert!(identity.verify(&[authority.issue(&[NAME])], now()).is_ok());
    let stranger = identity.verify(&[Authority::new("stranger").issue(&[NAME])], now()).map(drop);
    assert_eq!(stranger, Err(Error::Certificate(CertificateError::UnknownIssuer)));
    assert_eq!(identity.verify(&[], now()).map(drop), Err(Error::NoCertificate));
}

#[test]
fn a_verifier_may_make_certificates_optional() {
    let authority = Authority::new("authority");
    let builder = WebPkiClientVerifier::builder_with_provider(authority.roots(), Arc::new(default_provider()));
    let identity = ClientIdentity::Verifier(builder.allow_unauthenticated().build().unwrap());
    assert_eq!(identity.client_auth(), ClientAuth::Optional);
}

#[test]
fn a_verifier_that_does_not_ask_is_asked_nothing_more() {
    // Its other methods panic.
    let identity = ClientIdentity::Verifier(WebPkiClientVerifier::no_client_auth());
    assert_eq!(identity.client_auth(), ClientAuth::None);
    assert!(identity.authorities().is_empty());
    let unasked = identity.verify(&[CertificateDer::from(vec![1])], now()).map(drop);
    assert_eq!(unasked, Err(Error::Certificate(CertificateError::ApplicationVerificationFailure)));
}

#[test]
fn fingerprints_accept_any_chain_whose_end_entity_matches() {
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let end_entity = authority.issue(&[NAME]);
    let accepted: Arc<[_]> = Arc::new([Fingerprint::from_sha256([7; 32]), Fingerprint::of(&end_entity)]);
    let chain = [end_entity.clone(), stranger.0.der().clone()];
    let reversed = [stranger.0.der().clone(), end_entity];
    let server = ServerIdentity::Fingerprints(Arc::clone(&accepted));
    assert!(!server.needs_name());
    // No name, and a time at which no certificate is valid.
    let epoch = UnixTime::since_unix_epoch(Duration::ZERO);
    assert!(server.verify(&chain, None, &[], epoch).is_ok());
    assert_eq!(server.verify(&reversed, None, &[], epoch).map(drop), Err(Error::FingerprintMismatch));
    assert_eq!(server.verify(&[], None, &[], epoch).map(drop), Err(Error::NoCertificate));
    let client = ClientIdentity::Fingerprints(accepted);
    assert_eq!(client.client_auth(), ClientAuth::Required);
    assert!(client.authorities().is_empty());
    assert!(client.verify(&chain, epoch).is_ok());
    assert_eq!(client.verify(&reversed, epoch).map(drop), Err(Error::FingerprintMismatch));
}

#[test]
fn a_fingerprint_mismatch_is_a_bad_certificate() {
    let alert = Error::FingerprintMismatch.alert();
    assert_eq!(alert, Some(AlertDescription::BAD_CERTIFICATE));
}

#[test]
fn hints_that_do_not_fit_are_left_out() {
    let hint = |octets| DistinguishedName::from(vec![1; octets]);
    assert!(hints_fit(&[]));
    assert!(hints_fit(&[hint(MAX_HINTS - NAME_PREFIX)]));
    assert!(!hints_fit(&[hint(MAX_HINTS - NAME_PREFIX + 1)]));
    assert!(!hints_fit(&vec![hint(100); 400]));
}

/// Refuses everybody, for this reason.
#[derive(Debug)]
struct Refuses(rustls::Error);

impl ServerCertVerifier for Refuses {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Err(self.0.clone())
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
        Vec::new()
    }
}

fn refused(reason: rustls::Error) -> Error {
    let identity = ServerIdentity::Verifier(Arc::new(Refuses(reason)));
    let chain = [CertificateDer::from(vec![1])];
    identity.verify(&chain, Some(&server_name(NAME)), &[], now()).map(drop).unwrap_err()
}

#[test]
fn a_verifier_may_choose_the_alert() {
    let with = |error: Error| {
        let reason = CertificateError::Other(OtherError(Arc::new(error)));
        refused(rustls::Error::InvalidCertificate(reason))
    };
    let chosen = AlertDescription::HANDSHAKE_FAILURE;
    assert_eq!(with(Error::Application(chosen)), Error::Application(chosen));
    assert_eq!(with(Error::Application(chosen)).alert(), Some(chosen));
    // However it is wrapped.
    assert_eq!(refused(Error::Application(chosen).into()), Error::Application(chosen));
    // No other error of ours counts: the peer did nothing of the kind.
    let other = with(Error::NumbersExhausted);
    assert!(matches!(other, Error::Certificate(CertificateError::Other(_))), "{other:?}");
    assert_eq!(other.alert(), Some(AlertDescription::CERTIFICATE_UNKNOWN));
}

#[test]
fn a_verifier_may_answer_later() {
    let chain = [CertificateDer::from(vec![1])];
    let inner = || OtherError(Arc::new(Error::AnswerLater));
    for answer in [
        Error::AnswerLater.into(),
        rustls::Error::Other(inner()),
        rustls::Error::InvalidCertificate(CertificateError::Other(inner())),
    ] {
        let identity = ServerIdentity::Verifier(Arc::new(Refuses(answer)));
        let judged = identity.verify(&chain, Some(&server_name(NAME)), &[], now());
        assert!(matches!(judged, Ok(Judgement::Later)));
    }
    assert!(matches!(ServerIdentity::Application.verify(&chain, None, &[], now()), Ok(Judgement::Later)));
    assert!(matches!(ClientIdentity::Application.verify(&chain, now()), Ok(Judgement::Later)));
    assert_eq!(ClientIdentity::Application.client_auth(), ClientAuth::Required);
    assert_eq!(Error::AnswerLater.alert(), None);
}

#[test]
fn a_verifier_may_find_fault_and_accept() {
    let chain = [CertificateDer::from(vec![1])];
    let fault = AlertDescription::CERTIFICATE_EXPIRED;
    let identity = ServerIdentity::Verifier(Arc::new(Refuses(Error::AcceptedDespite(fault).into())));
    let Ok(Judgement::Accepted(verified)) = identity.verify(&chain, Some(&server_name(NAME)), &[], now()) else {
        panic!("it is accepted")
    };
    assert_eq!(verified.fault(), Some(fault));
    assert_eq!(Error::AcceptedDespite(fault).alert(), None);
}

#[test]
fn two_judgements_are_one() {
    let of = |verdict: Result<(), Error>| Judgement::of(verdict.map_err(Into::into)).unwrap();
    let fine = || of(Ok(()));
    let later = || of(Err(Error::AnswerLater));
    let despite = |fault| of(Err(Error::AcceptedDespite(fault)));
    let (a, b) = (AlertDescription::CERTIFICATE_EXPIRED, AlertDescription::UNKNOWN_CA);
    let fault = |judgement: Judgement| match judgement {
        Judgement::Accepted(verified) => verified.fault(),
        Judgement::Later => panic!("a judgement"),
    };
    assert_eq!(fault(fine().and(fine())), None);
    assert_eq!(fault(fine().and(despite(a))), Some(a));
    assert_eq!(fault(despite(a).and(fine())), Some(a));
    assert_eq!(fault(despite(a).and(despite(b))), Some(a));
    for other in [fine(), later(), despite(a)] {
        assert!(matches!(later().and(other), Judgement::Later));
    }
    for other in [fine(), despite(a)] {
        assert!(matches!(other.and(later()), Judgement::Later));
    }
}

#[test]
fn a_verifier_s_own_reason_is_kept() {
    let error = refused(rustls::Error::General("the database is down".into()));
    assert!(error.to_string().contains("the database is down"), "{error}");
    assert!(matches!(error, Error::Certificate(CertificateError::Other(_))));
}
