//! The runner's flags as configurations of udtls. Where BoringSSL's policy differs from the library's, a setter meets it.

use crate::Failure;
use crate::arguments::{Role, Settings};
use crate::credentials::{Resolver, credentials};
use crate::notes::Notes;
use crate::sessions::Kept;
use crate::verification::Hook;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::{Duration, Instant};
use udtls::{
    ClientConfig, Connection, DataSize, NamedGroup, PartialAcks, PlaintextFaults, ProtocolVersion, ServerConfig,
    ServerNameAcknowledgement, TimeoutPolicy, TransportConfig, UnofferedProtocol,
};

/// Builds the association that the flags describe.
pub(crate) fn connection(
    settings: &Settings,
    kept: &Kept,
    hook: &Arc<Hook>,
    notes: &Notes,
    now: Instant,
) -> Result<Connection, Failure> {
    let mut connection = match settings.role {
        Role::Client => client(settings, kept, hook, notes, now)?,
        Role::Server => server(settings, kept, hook, notes, now)?,
    };
    if let Some(mtu) = settings.transport.mtu {
        // On the connection and not in its configuration: the MTU must not fall back.
        connection.set_mtu(mtu).map_err(Failure::failed)?;
    }
    Ok(connection)
}

fn client(
    settings: &Settings,
    kept: &Kept,
    hook: &Arc<Hook>,
    notes: &Notes,
    now: Instant,
) -> Result<Connection, Failure> {
    let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(hook.clone());
    let builder = builder.map_err(Failure::failed)?;
    let credentials = credentials(settings, notes)?;
    let mut config = if credentials.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut config = builder.with_credentials(credentials).map_err(Failure::failed)?;
        config.give_up_without_certificate();
        config
    };
    if settings.extensions.request_ocsp {
        config.request_ocsp_response();
    }
    if settings.extensions.request_timestamps {
        config.request_timestamps();
    }
    if settings.extensions.grease {
        config.send_grease();
    }
    if settings.extensions.permuted {
        config.permute_extensions();
    }
    config.set_versions(&versions(settings)).map_err(Failure::failed)?;
    config.set_groups(groups(settings)).map_err(Failure::failed)?;
    config.set_srtp_profiles(&settings.srtp_profiles).map_err(Failure::failed)?;
    if let Some(list) = &settings.names.advertised_protocols {
        config.set_alpn_protocols(protocols(list)).map_err(Failure::failed)?;
    }
    config.set_transport(transport(settings)?);
    if settings.names.accept_unoffered_protocol {
        config.set_unoffered_protocol(UnofferedProtocol::Accepted);
    }
    let notes = notes.clone();
    config.set_message_trace(move |direction, message| notes.note_message(direction, message));
    kept.configure_client(&mut config, settings);
    let name = settings.names.host_name.as_deref();
    if name.is_none() {
        config.withhold_server_name();
    }
    let name = ServerName::try_from(name.unwrap_or("unnamed").to_owned()).map_err(Failure::failed)?;
    Connection::client(Arc::new(config), Some(name), now).map_err(Failure::failed)
}

fn server(
    settings: &Settings,
    kept: &Kept,
    hook: &Arc<Hook>,
    notes: &Notes,
    now: Instant,
) -> Result<Connection, Failure> {
    let verification = &settings.verification;
    let builder = match verification.verify_peer || verification.certificate_required {
        true => ServerConfig::builder().with_client_cert_verifier(hook.clone()),
        false => ServerConfig::builder().with_no_client_auth(),
    };
    let resolver = Arc::new(Resolver::new(settings, notes)?);
    let mut config = builder.map_err(Failure::failed)?.with_cert_resolver(resolver);
    config.set_versions(&versions(settings)).map_err(Failure::failed)?;
    config.set_groups(groups(settings)).map_err(Failure::failed)?;
    config.set_srtp_profiles(&settings.srtp_profiles).map_err(Failure::failed)?;
    if settings.names.reject_protocols {
        config.set_alpn_protocols(vec![NEVER_OFFERED.to_vec()]).map_err(Failure::failed)?;
    }
    if let Some(protocol) = &settings.names.selected_protocol {
        config.set_alpn_protocols(vec![protocol.clone()]).map_err(Failure::failed)?;
    }
    if settings.names.no_name_acknowledgement {
        config.set_server_name_acknowledgement(ServerNameAcknowledgement::Omitted);
    }
    config.set_transport(transport(settings)?);
    let notes = notes.clone();
    config.set_message_trace(move |direction, message| notes.note_message(direction, message));
    kept.configure_server(&mut config, settings);
    Connection::server(Arc::new(config), now).map_err(Failure::failed)
}

/// BoringSSL's, unless the flags name others: a runner that is offered the hybrid group asks for it by HelloRetryRequest.
fn groups(settings: &Settings) -> &[NamedGroup] {
    match settings.groups.as_slice() {
        [] => &[NamedGroup::X25519, NamedGroup::SECP256R1, NamedGroup::SECP384R1],
        groups => groups,
    }
}

/// A version whose groups the flags leave out cannot be spoken.
fn versions(settings: &Settings) -> Vec<ProtocolVersion> {
    let mut versions = settings.versions.enabled();
    if groups(settings) == [NamedGroup::X25519MLKEM768] {
        versions.retain(|version| *version == ProtocolVersion::DTLS1_3);
    }
    versions
}

/// An application protocol that no client of the runner's offers.
const NEVER_OFFERED: &[u8] = b"never offered";

/// BoringSSL's policies.
fn transport(settings: &Settings) -> Result<TransportConfig, Failure> {
    let mut transport = TransportConfig::new();
    transport
        .set_timeouts(settings.transport.initial_timeout.unwrap_or(Duration::from_millis(400)), Duration::from_secs(60))
        .map_err(Failure::failed)?
        .set_timeout_policy(TimeoutPolicy::Fixed)
        .set_partial_acks(PartialAcks::WaitForTimer)
        .set_plaintext_faults(PlaintextFaults::Fatal)
        .set_max_early_records(0)
        .pin_mtu()
        .set_data_size(DataSize::WholeRecord);
    if let Some(max) = settings.transport.max_certificate_message {
        transport.set_max_handshake_message(max).map_err(Failure::failed)?;
    }
    Ok(transport)
}

/// A list of names as it stands on the wire, each after its length.
fn protocols(mut list: &[u8]) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    while let Some((len, rest)) = list.split_first() {
        let (name, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        names.push(name.to_vec());
        list = rest;
    }
    names
}
