//! What can be tried beside data: exporters, KeyUpdates, keys for SRTP.

use super::failure::Failure;
use super::udp::{Link, Outlet, State};
use lexopt::ValueExt;
use std::time::{Duration, Instant};
use udtls::{Connection, KeyUpdateRequest, SrtpProfile};

/// What the command line asks for.
#[derive(Default)]
pub(crate) struct Extras {
    labels: Vec<String>,
    key_updates: u32,
    /// Empty without `--srtp`.
    srtp_profiles: Vec<SrtpProfile>,
}

/// These options, and the last line of the help of either program.
pub(crate) const USAGE: &str = "\
  --export LABEL        print keying material for this label, 32 octets, as `openssl ... -keymatexport LABEL
                        -keymatexportlen 32` does
  --key-update N        update the keys so often, DTLS 1.3, and have the peer update its own
  --srtp                agree on a profile for SRTP, and print its keys and salts
  --help                this text
";

/// All that there are, the best first.
const SRTP_PROFILES: [SrtpProfile; 4] = [
    SrtpProfile::SRTP_AEAD_AES_256_GCM,
    SrtpProfile::SRTP_AEAD_AES_128_GCM,
    SrtpProfile::SRTP_AES128_CM_HMAC_SHA1_80,
    SrtpProfile::SRTP_AES128_CM_HMAC_SHA1_32,
];

/// A peer acknowledges a KeyUpdate sooner.
const PATIENCE: Duration = Duration::from_secs(10);

impl Extras {
    /// Takes an option, with its value, if it is one of these.
    pub(crate) fn take(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<bool, Failure> {
        match name {
            "export" => self.labels.push(parser.value()?.string()?),
            "key-update" => self.key_updates = parser.value()?.parse()?,
            "srtp" => self.srtp_profiles = SRTP_PROFILES.to_vec(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// For the configuration.
    pub(crate) fn srtp_profiles(&self) -> &[SrtpProfile] {
        &self.srtp_profiles
    }

    /// Prints what was exported, and updates keys; `deliver` takes what comes meanwhile.
    pub(crate) fn run<'s>(
        &self,
        link: &mut Link<'s>,
        mut deliver: impl FnMut(&mut Outlet<'s>, &[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for label in &self.labels {
            let mut out = [0; 32];
            let exported = link.connection().export_keying_material(label.as_bytes(), None, &mut out);
            exported.map_err(|error| format!("--export {label}: {error}"))?;
            println!("keying material for {label}: {}", hex::encode_upper(out));
        }
        if !self.srtp_profiles.is_empty() {
            srtp(link.connection())?;
        }
        for _ in 0..self.key_updates {
            let (before, deadline) = (link.keys_updated, Instant::now() + PATIENCE);
            link.outlet.connection.request_key_update(Instant::now(), KeyUpdateRequest::Requested)?;
            while link.keys_updated == before {
                if Instant::now() > deadline || link.state() != State::Established {
                    return Err("--key-update: the peer does not acknowledge it".into());
                }
                link.turn(deadline, &mut deliver)?;
            }
        }
        if self.key_updates > 0 {
            println!("keys updated {} times", link.keys_updated);
        }
        Ok(())
    }
}

fn srtp(connection: &Connection) -> Result<(), Failure> {
    let Some(profile) = connection.negotiated().and_then(udtls::Negotiated::srtp_profile) else {
        println!("SRTP: no profile agreed on");
        return Ok(());
    };
    let material = connection.srtp_keying_material()?;
    println!("SRTP: {profile:?}");
    println!("  client key {} salt {}", hex::encode(material.client_key()), hex::encode(material.client_salt()));
    println!("  server key {} salt {}", hex::encode(material.server_key()), hex::encode(material.server_salt()));
    Ok(())
}
