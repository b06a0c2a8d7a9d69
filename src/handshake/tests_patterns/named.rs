//! The patterns by name: what learning the machines of other implementations has found in them.

use super::*;
use crate::error::PeerMisbehaved;

/// Flights that hold the Finished, of either role, in every handshake.
fn for_each_last_flight(mut test: impl FnMut(Shape, Role, usize)) {
    for shape in Shape::all() {
        for (role, flight) in shape.flights() {
            if flight.iter().any(|sent| sent.is(T::FINISHED)) {
                test(shape, role, flight.len());
            }
        }
    }
}

/// A Finished before anything that must precede it: signatures, keys, the ChangeCipherSpec, the hellos.
#[test]
fn sm01_an_early_finished_is_none() {
    for_each_last_flight(|shape, role, len| {
        for to in 0..len - 1 {
            let outcome = shape.tampered(role, T::FINISHED, |batch| {
                let finished = batch.remove(place(batch, T::FINISHED));
                batch.insert(to, finished);
            });
            outcome.unexpected(role.peer(), (shape, role, to));
            assert!(!outcome.is_complete(role.peer()));
        }
        // And nothing but it.
        let outcome = shape.tampered(role, T::FINISHED, |batch| batch.retain(|sent| sent.is(T::FINISHED)));
        if len > 1 {
            outcome.unexpected(role.peer(), (shape, role, "alone"));
        }
    });
}

/// Who must show a certificate shows none, nor a proof of it.
#[test]
fn a1_sm02_no_certificate_is_no_authentication() {
    for version in VERSIONS {
        for role in ROLES {
            let outcome = Shape::mutual(version).tampered(role, T::CERTIFICATE, |batch| {
                batch.retain(|sent| !sent.is(T::CERTIFICATE) && !sent.is(T::CERTIFICATE_VERIFY));
            });
            outcome.unexpected(role.peer(), (version, role));
            assert!(!outcome.is_complete(role.peer()));
        }
    }
}

/// A certificate is everybody's: without the signature that only its owner can make it proves nothing.
#[test]
fn a1_sm03_certificate_without_verify() {
    for version in VERSIONS {
        for role in ROLES {
            // In 1.2 a server's proof is the signature in its ServerKeyExchange.
            let proof = match (version, role) {
                (ProtocolVersion::DTLS1_2, Role::Server) => T::SERVER_KEY_EXCHANGE,
                _ => T::CERTIFICATE_VERIFY,
            };
            let shape = Shape::mutual(version);
            let outcome = shape.tampered(role, proof, |batch| batch.retain(|sent| !sent.is(proof)));
            outcome.unexpected(role.peer(), (version, role, "left out"));
            // There, and empty.
            let outcome = shape.tampered(role, proof, |batch| {
                let at = place(batch, proof);
                let body = batch[at].body();
                let params = if proof == T::SERVER_KEY_EXCHANGE { 4 + usize::from(body[3]) } else { 0 };
                body.truncate(params + 2);
                body.extend_from_slice(&[0, 0]);
            });
            outcome.refused(role.peer(), AlertDescription::DECRYPT_ERROR, (version, role, "empty"));
            // Another's: made by the same key over another handshake.
            let flights = shape.flights();
            let theirs = flights.iter().filter(|(sender, _)| *sender == role).flat_map(|(_, flight)| flight);
            let theirs = theirs.clone().find(|sent| sent.is(proof)).unwrap().clone();
            let outcome = shape.tampered(role, proof, |batch| {
                let at = place(batch, proof);
                batch[at] = theirs.clone();
            });
            outcome.refused(role.peer(), AlertDescription::DECRYPT_ERROR, (version, role, "of another handshake"));
            assert!(!outcome.is_complete(role.peer()));
        }
    }
}

/// DTLS 1.2: the key exchange comes after the certificate that vouches for it, of either role.
#[test]
fn sm04_sm24_a_key_exchange_has_its_place() {
    for (role, exchange) in [(Role::Client, T::CLIENT_KEY_EXCHANGE), (Role::Server, T::SERVER_KEY_EXCHANGE)] {
        let shape = Shape::mutual(VERSIONS[0]);
        let outcome = shape.tampered(role, exchange, |batch| {
            let (certificate, exchange) = (place(batch, T::CERTIFICATE), place(batch, exchange));
            batch.swap(certificate, exchange);
        });
        outcome.unexpected(role.peer(), (role, "before the certificate"));
        for shape in [Shape::new(VERSIONS[0]), shape] {
            let outcome = shape.tampered(role, exchange, |batch| batch.retain(|sent| !sent.is(exchange)));
            outcome.unexpected(role.peer(), (role, "left out"));
        }
    }
}

/// DTLS 1.2: the ChangeCipherSpec comes once, after all that is not protected and before what is.
#[test]
fn s1_sm06_sm07_sm08_a_change_cipher_spec_has_its_place() {
    for shape in [Shape::new(VERSIONS[0]), Shape::mutual(VERSIONS[0])] {
        for (nth, (role, flight)) in shape.flights().into_iter().enumerate() {
            let run = |edit: &dyn Fn(&mut Vec<Sent>)| {
                shape.scene().run(|_, flight, batch| {
                    if flight == nth {
                        edit(batch);
                    }
                })
            };
            // One more, at every place.
            for to in 0..=flight.len() {
                let outcome = run(&|batch| batch.insert(to, Sent::ChangeCipherSpec));
                outcome.unexpected(role.peer(), (shape, role, to));
                assert!(to == flight.len() || !outcome.is_complete(role.peer()));
            }
            let Some(own) = flight.iter().position(|sent| *sent == Sent::ChangeCipherSpec) else { continue };
            // The one there is, at every other place: before the CertificateVerify, say, or after the Finished.
            for to in (0..flight.len()).filter(|to| *to != own) {
                let outcome = run(&|batch| {
                    batch.remove(own);
                    batch.insert(to, Sent::ChangeCipherSpec);
                });
                outcome.unexpected(role.peer(), (shape, role, "moved to", to));
                assert!(!outcome.is_complete(role.peer()));
            }
            // None.
            run(&|batch| drop(batch.remove(own))).unexpected(role.peer(), (shape, role, "left out"));
        }
    }
}

/// Certificates, requests and key exchanges come once, though they be the same.
#[test]
fn s6_sm09_sm23_nothing_comes_twice() {
    let types = [
        T::CERTIFICATE,
        T::CERTIFICATE_REQUEST,
        T::CERTIFICATE_VERIFY,
        T::SERVER_KEY_EXCHANGE,
        T::CLIENT_KEY_EXCHANGE,
        T::SERVER_HELLO_DONE,
        T::ENCRYPTED_EXTENSIONS,
        T::NEW_SESSION_TICKET,
        T::FINISHED,
    ];
    for shape in Shape::all() {
        for (role, flight) in shape.flights() {
            for msg_type in types.into_iter().filter(|msg_type| flight.iter().any(|sent| sent.is(*msg_type))) {
                let outcome = shape.tampered(role, msg_type, |batch| {
                    let at = place(batch, msg_type);
                    batch.insert(at, batch[at].clone());
                });
                outcome.unexpected(role.peer(), (shape, role, msg_type));
            }
        }
    }
}

/// A Finished that is wrong is no repetition of a right one and nothing to wait over: the handshake ends, and the right one
/// comes too late. Of whatever length, it is the proof that failed and no error of ours.
#[test]
fn sm11_sm18_an_invalid_finished_is_final() {
    for_each_last_flight(|shape, role, _| {
        for len in [0, 1, 11, 12, 13, 31, 32, 33, 48, 64, 300] {
            let outcome = shape.tampered(role, T::FINISHED, |batch| {
                let at = place(batch, T::FINISHED);
                let wrong = Sent::new(T::FINISHED, &vec![7; len]);
                // The right one follows.
                batch.insert(at, wrong);
            });
            outcome.refused(role.peer(), AlertDescription::DECRYPT_ERROR, (shape, role, len));
            assert!(!outcome.is_complete(role.peer()));
        }
        // The other end's own.
        let mut theirs = None;
        let outcome = shape.scene().run(|sender, _, batch| {
            for sent in batch.iter_mut().filter(|sent| sent.is(T::FINISHED)) {
                match &theirs {
                    None => theirs = Some(sent.clone()),
                    Some(theirs) => *sent = theirs.clone(),
                }
            }
            let _ = sender;
        });
        assert_eq!(outcome.alert().unwrap().1, AlertDescription::DECRYPT_ERROR, "{shape:?}: reflected");
    });
}

/// `decrypt_error` says that a proof failed, and nothing else says that.
#[test]
fn sm17_a_failed_proof_and_nothing_else_is_a_decrypt_error() {
    let proofs = [T::SERVER_KEY_EXCHANGE, T::CERTIFICATE_VERIFY, T::FINISHED];
    for shape in Shape::all() {
        for (role, flight) in shape.flights() {
            for msg_type in flight.iter().filter_map(Sent::msg_type) {
                let outcome = shape.tampered(role, msg_type, |batch| {
                    let at = place(batch, msg_type);
                    match batch[at].body() {
                        body if proofs.contains(&msg_type) => *body.last_mut().unwrap() ^= 1,
                        body => body.push(0),
                    }
                });
                let expected = match proofs.contains(&msg_type) {
                    true => AlertDescription::DECRYPT_ERROR,
                    false => AlertDescription::DECODE_ERROR,
                };
                outcome.refused(role.peer(), expected, (shape, role, msg_type));
            }
        }
    }
}

/// Renegotiation in every form, after a handshake of either version and at either end.
#[test]
fn s12_sm16_nothing_begins_anew_under_keys() {
    for shape in Shape::all() {
        let flights = shape.flights();
        let hellos = flights.iter().flat_map(|(_, flight)| flight);
        let hellos = hellos.filter(|sent| sent.is(T::CLIENT_HELLO) || sent.is(T::SERVER_HELLO)).cloned();
        for sent in hellos.chain([Sent::new(T::HELLO_REQUEST, &[])]) {
            for role in ROLES {
                let mut scene = Scene::established(shape);
                let refused = scene.end(role).give(&sent).unwrap_err();
                assert_eq!(refused.alert(), Some(AlertDescription::UNEXPECTED_MESSAGE), "{shape:?} {role:?}");
                assert!(scene.end(role).queue.is_empty());
            }
        }
    }
}

/// A HelloRequest asks for nothing that anyone gives, least of all before there is an association.
#[test]
fn sm25_sm45_a_hello_request_is_refused_at_every_place() {
    for shape in Shape::all() {
        for (nth, (role, flight)) in shape.flights().into_iter().enumerate() {
            for at in 0..=flight.len() {
                let outcome = shape.scene().run(|_, flight, batch| {
                    if flight == nth {
                        batch.insert(at, Sent::new(T::HELLO_REQUEST, &[]));
                    }
                });
                outcome.unexpected(role.peer(), (shape, role, at));
            }
        }
    }
}

/// A request for a certificate comes after that of the server in 1.2 and before it in 1.3, and not the other way round.
#[test]
fn s6_sm26_certificate_and_request_are_not_exchanged() {
    for version in VERSIONS {
        let outcome = Shape::mutual(version).tampered(Role::Server, T::CERTIFICATE_REQUEST, |batch| {
            let (certificate, request) = (place(batch, T::CERTIFICATE), place(batch, T::CERTIFICATE_REQUEST));
            batch.swap(certificate, request);
        });
        outcome.unexpected(Role::Client, version);
    }
}

/// A certificate that nobody asked for, with its proof or without; and a client that has one keeps it to itself.
#[test]
fn sm31_a_certificate_that_nobody_asked_for_is_refused() {
    for version in VERSIONS {
        let flights = Shape::mutual(version).flights();
        let theirs = |msg_type| {
            let own = flights.iter().filter(|(role, _)| *role == Role::Client).flat_map(|(_, flight)| flight);
            own.clone().find(|sent| sent.is(msg_type)).unwrap().clone()
        };
        let (certificate, verify) = (theirs(T::CERTIFICATE), theirs(T::CERTIFICATE_VERIFY));
        for unasked in [vec![certificate.clone()], vec![certificate, verify.clone()], vec![verify]] {
            let outcome = Shape::new(version)
                .tampered(Role::Client, T::FINISHED, |batch| drop(batch.splice(0..0, unasked.clone())));
            outcome.unexpected(Role::Server, version);
        }
        let mut scene = Scene::between(Shape::mutual(version).client(), Shape::new(version).server());
        let outcome = scene.run(|role, _, batch| {
            assert!(role == Role::Server || !batch.iter().any(|sent| sent.is(T::CERTIFICATE)));
        });
        assert_eq!(outcome.complete, [true; 2]);
    }
}

/// Messages that follow a handshake of 1.3 have no place in it, nor in 1.2, nor do those of the wrong role after it.
#[test]
fn sm36_sm37_sm38_sm44_sm46_what_follows_a_handshake_does_so() {
    let ticket = [0, 0, 0, 1, 0, 0, 0, 2, 1, 9, 0, 1, 7, 0, 0];
    let update = Sent::new(T::KEY_UPDATE, &[0]);
    for shape in Shape::all() {
        for (nth, (role, flight)) in shape.flights().into_iter().enumerate() {
            for at in 0..flight.len() {
                let outcome = shape.scene().run(|_, flight, batch| {
                    if flight == nth {
                        batch.insert(at, update.clone());
                    }
                });
                outcome.unexpected(role.peer(), (shape, role, at));
            }
        }
        let request = Shape::mutual(shape.version).flights().into_iter().flat_map(|(_, flight)| flight);
        let request = request.into_iter().find(|sent| sent.is(T::CERTIFICATE_REQUEST)).unwrap();
        for (sent, of_13) in [
            // Post-handshake authentication was not offered, and is no client's to ask for.
            (request, [false; 2]),
            (update.clone(), [true; 2]),
            (Sent::new(T::NEW_SESSION_TICKET, &ticket), [true, false]),
        ] {
            for (role, taken) in ROLES.into_iter().zip(of_13) {
                let given = Scene::established(shape).end(role).give(&sent);
                match taken && shape.is_13() {
                    true => assert_eq!(given, Ok(()), "{shape:?} {role:?}"),
                    false => {
                        let error = given.unwrap_err();
                        assert_eq!(error.alert(), Some(AlertDescription::UNEXPECTED_MESSAGE), "{shape:?} {role:?}");
                        let of_12 = error == PeerMisbehaved::RenegotiationAttempted.into();
                        assert_eq!(of_12, !shape.is_13());
                    }
                }
            }
        }
    }
}
