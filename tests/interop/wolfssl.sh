#!/usr/bin/env bash
# Builds wolfSSL's example client and server from the source in the crate `wolfssl-sys`, once, with its library the program
# wolfssl-peer.c, and prints the folder they are in. wolfSSL is GPL: nothing of it enters this repository, and nothing of
# ours links it but that program, which stays in the cache.
#
#   wolfssl.sh CACHE        needs autoconf, automake, libtool, make, cc, openssl, cargo
set -euo pipefail

crate=wolfssl-sys
version=5.3.0
sha256=e04fb531435ec8ba1852ee9df66ab351cdb1e3aec1da4013787ae93efa3adac6
# Another recipe or compiler, another folder.
key=$({ cat "$0"; cc --version; } | sha256sum | cut -c1-12)
folder=$1/wolfssl-$version-$key
source=$PWD/wolfssl-peer.c

# The program, if it is not of this source; then done.
finish() {
    if ! cmp --silent "$source" "$folder/peer.c"; then
        cc -O1 -Wall -Werror -I"$folder/include" "$source" "$folder/libwolfssl.a" -lm -pthread -o "$folder/peer" >&2
        cp "$source" "$folder/peer.c"
    fi
    echo "$folder"
    exit
}

[[ -x $folder/server && -x $folder/client ]] && finish

build=$folder.build
rm -rf "$build"
mkdir -p "$build/fetch/src" "$build/certs"
cd "$build"

echo "building wolfSSL in $build" >&2
cat >fetch/Cargo.toml <<END
[package]
name = "fetch"
version = "0.0.0"
edition = "2024"
[dependencies]
$crate = "=$version"
[workspace]
END
touch fetch/src/lib.rs
cargo fetch --quiet --manifest-path fetch/Cargo.toml
archive=$(ls "${CARGO_HOME:-$HOME/.cargo}"/registry/cache/*/$crate-$version.crate | head -n 1)
echo "$sha256  $archive" | sha256sum --check --quiet >&2
tar -xzf "$archive"

cd "$crate-$version/wolfssl-src"
{
    [[ -f configure ]] || autoreconf --install --force
    ./configure --disable-shared --enable-static --enable-examples --disable-benchmark --disable-crypttests \
        --disable-sys-ca-certs --enable-opensslextra --enable-tls13 --enable-dtls --enable-dtls13 --enable-dtls-mtu \
        --enable-dtls-frag-ch --enable-hrrcookie --enable-supportedcurves --enable-extended-master --enable-aesgcm \
        --enable-chacha --enable-curve25519 --enable-ed25519 --enable-mlkem --enable-dh --enable-sni --enable-alpn \
        --enable-psk --enable-session-ticket --enable-srtp --enable-keying-material --enable-maxfragment --enable-ocsp \
        --enable-ocspstapling
    # configure leaves a -j of its own in the Makefile. The crate ships no tests/, so the targets must be named.
    sed -i 's/-j[0-9]\+//' Makefile
    # The example server with stapling wants certificates of wolfSSL's own: it goes without.
    sed -i 's/defined(HAVE_CERTIFICATE_STATUS_REQUEST/defined(IN_THE_LIBRARY_ONLY/' examples/server/server.c
    make -j"$(nproc)" src/libwolfssl.la examples/client/client examples/server/server
} >"$build/log" 2>&1 || { tail -n 30 "$build/log" >&2; exit 1; }
cp examples/client/client examples/server/server src/.libs/libwolfssl.a "$build"
mkdir "$build/include"
cp -r wolfssl "$build/include"
cd "$build"
# The programs go to the folder that has this file.
openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out certs/dh2048.pem 2>>"$build/log"
rm -rf "$crate-$version" fetch
mv "$build" "$folder"
finish
