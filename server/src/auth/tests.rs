//! Every algorithm we accept, every way a token can lie, and a provider that comes and goes.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;
use rcgen::{KeyPair, SignatureAlgorithm};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::jwks::{KeySet, KeySetSource};
use super::mint::{Claims, SigningKey};
use super::*;

const NOW: UnixMillis = 1_780_000_000_000;
const NOW_SECONDS: u64 = NOW / 1000;
const SECRET: &[u8] = b"a secret of the municipality";

fn ring(materials: &[KeyMaterial]) -> KeyRing {
    let keys = materials
        .iter()
        .map(|material| VerificationKey::new(material).unwrap())
        .collect();
    KeyRing::new(keys).unwrap()
}

fn verifier(ring: KeyRing) -> JwtVerifier {
    JwtVerifier::new(ring, None, ClaimRules::default(), Arc::default())
}

fn hmac_verifier() -> JwtVerifier {
    verifier(ring(&[KeyMaterial::Hmac(SECRET.to_vec())]))
}

fn claims() -> Claims {
    Claims {
        sub: Some("teacher-7".to_owned()),
        exp: Some(NOW_SECONDS + 60),
        ..Claims::default()
    }
}

fn minted(claims: &Claims) -> String {
    SigningKey::hmac(SECRET).mint(claims).unwrap()
}

/// A token with this header and these claims, signed with the shared secret.
fn forged(header: &serde_json::Value, claims: &serde_json::Value) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

async fn check(verifier: &JwtVerifier, token: &str) -> Result<String, TokenError> {
    let token = verifier.connection(token, NOW).await?;
    Ok(token.subject.clone())
}

struct Pair {
    private_pem: String,
    public_pem: String,
}

fn pair(algorithm: &'static SignatureAlgorithm) -> Pair {
    let pair = KeyPair::generate_for(algorithm).unwrap();
    Pair {
        private_pem: pair.serialize_pem(),
        public_pem: pair.public_key_pem(),
    }
}

#[tokio::test]
async fn accepts_every_hmac_algorithm() {
    let verifier = hmac_verifier();
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let key = SigningKey::hmac(SECRET).with_algorithm(algorithm);
        let token = key.mint(&claims()).unwrap();
        assert_eq!(check(&verifier, &token).await, Ok("teacher-7".to_owned()));
    }
}

#[tokio::test]
async fn accepts_every_public_key_algorithm() {
    use Algorithm as A;
    let rsa = pair(&rcgen::PKCS_RSA_SHA256);
    let p256 = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
    let p384 = pair(&rcgen::PKCS_ECDSA_P384_SHA384);
    let ed = pair(&rcgen::PKCS_ED25519);
    let verifier = verifier(ring(&[
        KeyMaterial::RsaPem(rsa.public_pem.clone()),
        KeyMaterial::EcPem(p256.public_pem.clone()),
        KeyMaterial::EcPem(p384.public_pem.clone()),
        KeyMaterial::EdPem(ed.public_pem.clone()),
    ]));
    let rows = [
        (A::RS256, &rsa),
        (A::RS384, &rsa),
        (A::RS512, &rsa),
        (A::PS256, &rsa),
        (A::ES256, &p256),
        (A::ES384, &p384),
        (A::EdDSA, &ed),
    ];
    for (algorithm, pair) in rows {
        let key = SigningKey::pem(algorithm, &pair.private_pem).unwrap();
        let token = key.mint(&claims()).unwrap();
        let verdict = check(&verifier, &token).await;
        assert_eq!(verdict, Ok("teacher-7".to_owned()), "{algorithm:?}");
        // The second time from the verdicts kept; a changed byte must not be found there.
        assert!(check(&verifier, &token).await.is_ok());
        let mut broken = token.into_bytes();
        let last = broken.len() - 10;
        broken[last] = if broken[last] == b'A' { b'B' } else { b'A' };
        let broken = String::from_utf8(broken).unwrap();
        let verdict = check(&verifier, &broken).await;
        assert_eq!(verdict, Err(Flaw::Signature.into()), "{algorithm:?}");
    }
}

#[tokio::test]
async fn refuses_tokens_without_algorithm() {
    let body = json!({"sub": "principal", "exp": NOW_SECONDS + 60});
    for name in ["none", "None", "", "hs256", "HS1"] {
        let token = forged(&json!({"alg": name}), &body);
        let verdict = check(&hmac_verifier(), &token).await;
        assert_eq!(verdict, Err(Flaw::Algorithm.into()), "{name}");
        let (message, _) = token.rsplit_once('.').unwrap();
        let unsigned = format!("{message}.");
        assert!(check(&hmac_verifier(), &unsigned).await.is_err());
    }
}

#[tokio::test]
async fn refuses_a_public_key_used_as_secret() {
    let rsa = pair(&rcgen::PKCS_RSA_SHA256);
    let only_rsa = verifier(ring(&[KeyMaterial::RsaPem(rsa.public_pem.clone())]));
    let forger = SigningKey::hmac(rsa.public_pem.as_bytes());
    let token = forger.mint(&claims()).unwrap();
    let verdict = check(&only_rsa, &token).await;
    assert_eq!(verdict, Err(Flaw::Algorithm.into()));
}

#[tokio::test]
async fn refuses_critical_extensions_and_bad_shapes() {
    let body = json!({"sub": "x"});
    let critical = forged(&json!({"alg": "HS256", "crit": ["b64"]}), &body);
    let verdict = check(&hmac_verifier(), &critical).await;
    assert_eq!(verdict, Err(Flaw::Malformed.into()));
    let long = "a".repeat(TOKEN_MAX_BYTES + 1);
    for token in ["", "a", "a.b", "a.b.c.d", "ø.å.æ", long.as_str()] {
        let verdict = check(&hmac_verifier(), token).await;
        assert_eq!(verdict, Err(Flaw::Malformed.into()));
    }
}

#[tokio::test]
async fn judges_times_at_each_use() {
    let verifier = hmac_verifier();
    let token = minted(&claims());
    assert!(verifier.connection(&token, NOW).await.is_ok());
    let later = verifier.connection(&token, NOW + 60_000).await;
    assert_eq!(later.unwrap_err(), TokenError::Expired);
    let early = forged(
        &json!({"alg": "HS256"}),
        &json!({"sub": "x", "nbf": NOW_SECONDS + 1}),
    );
    assert_eq!(check(&verifier, &early).await, Err(TokenError::Expired));
    for time in [json!(-1), json!(1e300), json!("soon")] {
        let token = forged(&json!({"alg": "HS256"}), &json!({"exp": time}));
        assert_eq!(check(&verifier, &token).await, Err(Flaw::Claims.into()));
    }
}

#[tokio::test]
async fn a_remembered_verdict_expires_too() {
    let ed = pair(&rcgen::PKCS_ED25519);
    let verifier = verifier(ring(&[KeyMaterial::EdPem(ed.public_pem)]));
    let key = SigningKey::pem(Algorithm::EdDSA, &ed.private_pem).unwrap();
    let token = key.mint(&claims()).unwrap();
    assert!(verifier.connection(&token, NOW).await.is_ok());
    let later = verifier.connection(&token, NOW + 60_000).await;
    assert_eq!(later.unwrap_err(), TokenError::Expired);
}

#[tokio::test]
async fn the_previous_key_is_trusted_until_its_moment() {
    let old = VerificationKey::new(&KeyMaterial::Hmac(b"old".to_vec()))
        .unwrap()
        .with_valid_until(NOW + 1000);
    let new = VerificationKey::new(&KeyMaterial::Hmac(SECRET.to_vec())).unwrap();
    let verifier = verifier(KeyRing::new(vec![new, old]).unwrap());
    let token = SigningKey::hmac(b"old").mint(&claims()).unwrap();
    assert!(verifier.connection(&token, NOW + 999).await.is_ok());
    let after = verifier.connection(&token, NOW + 1000).await;
    assert_eq!(after.unwrap_err(), Flaw::Signature.into());
    assert!(check(&verifier, &minted(&claims())).await.is_ok());
}

#[tokio::test]
async fn checks_audience_issuer_and_user_claim() {
    let rules = ClaimRules::default()
        .audience("klokke")
        .issuer_pattern("^https://(unilogin|mitid)\\.example$")
        .unwrap()
        .user_claim("uniid");
    let keys = ring(&[KeyMaterial::Hmac(SECRET.to_vec())]);
    let verifier = JwtVerifier::new(keys, None, rules, Arc::default());
    let good = json!({"aud": ["other", "klokke"], "iss": "https://mitid.example", "uniid": "u1"});
    let with = |key: &str, value: serde_json::Value| {
        let mut body = good.clone();
        body[key] = value;
        forged(&json!({"alg": "HS256"}), &body)
    };
    let token = forged(&json!({"alg": "HS256"}), &good);
    assert_eq!(check(&verifier, &token).await, Ok("u1".to_owned()));
    let rows = [
        (with("aud", json!("other")), Flaw::Audience),
        (with("aud", json!(null)), Flaw::Audience),
        (
            with("iss", json!("https://mitid.example.evil")),
            Flaw::Issuer,
        ),
        (with("iss", json!(null)), Flaw::Issuer),
        (with("uniid", json!(7)), Flaw::Claims),
        (with("channel", json!("a")), Flaw::Kind),
    ];
    for (token, flaw) in rows {
        assert_eq!(check(&verifier, &token).await, Err(flaw.into()));
    }
}

#[tokio::test]
async fn reads_every_claim_of_a_connection() {
    let body = json!({
        "sub": "guardian-1", "exp": NOW_SECONDS + 60, "expire_at": 0, "jti": "t1",
        "iat": NOW_SECONDS, "info": {"name": "a"}, "channels": ["news"],
        "subs": {"chat:1": {"b64info": "aGVq", "data": [1], "override": {"presence": {"value": true}}}},
        "meta": {"ward": 3}, "profiles": ["G10001.p17"],
        "loa": "https://data.gov.dk/concept/core/nsis/Substantial",
        "auth_time": NOW_SECONDS - 5,
    });
    let token = forged(&json!({"alg": "HS256"}), &body);
    let claims = hmac_verifier().connection(&token, NOW).await.unwrap();
    assert_eq!(claims.expires_at, None);
    assert_eq!(claims.info.as_deref(), Some(&br#"{"name":"a"}"#[..]));
    assert_eq!(claims.meta.as_deref(), Some(&br#"{"ward":3}"#[..]));
    assert_eq!(claims.level, 3);
    assert_eq!(claims.authenticated_at, Some(NOW - 5000));
    assert_eq!(claims.profiles, ["G10001.p17"]);
    assert!(claims.subscriptions.contains_key("news"));
    let chat = &claims.subscriptions["chat:1"];
    assert_eq!(chat.info.as_deref(), Some(&b"hej"[..]));
    assert_eq!(chat.data.as_deref(), Some(&b"[1]"[..]));
    assert_eq!(chat.overrides.presence, Some(Override { value: true }));
    assert_eq!(chat.overrides.join_leave, None);
}

#[tokio::test]
async fn reads_subscription_tokens_and_no_others() {
    let verifier = hmac_verifier();
    let token = minted(&Claims {
        channel: Some("$class:3b".to_owned()),
        client: Some("c1".to_owned()),
        ..claims()
    });
    let claims = verifier.subscription(&token, NOW).await.unwrap();
    assert_eq!(claims.subject, "teacher-7");
    assert_eq!(claims.channel, "$class:3b");
    assert_eq!(claims.client.as_deref(), Some("c1"));
    assert_eq!(claims.expires_at, Some(NOW + 60_000));
    let connection = minted(&self::claims());
    let verdict = verifier.subscription(&connection, NOW).await;
    assert_eq!(verdict.unwrap_err(), Flaw::Kind.into());
}

#[tokio::test]
async fn revocation_ends_tokens_already_seen() {
    let revocations = Arc::new(Revocations::default());
    let ed = pair(&rcgen::PKCS_ED25519);
    let keys = ring(&[KeyMaterial::EdPem(ed.public_pem)]);
    let rules = ClaimRules::default();
    let verifier = JwtVerifier::new(keys, None, rules, Arc::clone(&revocations));
    let key = SigningKey::pem(Algorithm::EdDSA, &ed.private_pem).unwrap();
    let mint = |jti: &str, iat: u64| {
        let claims = Claims {
            jti: Some(jti.to_owned()),
            iat: Some(iat),
            ..claims()
        };
        key.mint(&claims).unwrap()
    };
    let (stolen, old, new) = (
        mint("t1", NOW_SECONDS),
        mint("t2", NOW_SECONDS - 100),
        mint("t3", NOW_SECONDS),
    );
    for token in [&stolen, &old, &new] {
        assert!(check(&verifier, token).await.is_ok());
    }
    let lines = format!(
        "{{\"jti\":\"t1\"}}\n\n{{\"sub\":\"teacher-7\",\"not_before\":{}}}\n",
        NOW_SECONDS - 50
    );
    assert_eq!(revocations.load(&lines, NOW).unwrap(), 2);
    assert_eq!(check(&verifier, &stolen).await, Err(TokenError::Revoked));
    assert_eq!(check(&verifier, &old).await, Err(TokenError::Revoked));
    assert!(check(&verifier, &new).await.is_ok());
}

#[test]
fn a_line_that_is_gone_from_the_file_revokes_no_more() {
    let revocations = Revocations::default();
    let added = Revocation::Token {
        jti: "t9".to_owned(),
        until: None,
    };
    revocations.add(added, NOW).unwrap();
    revocations
        .load("{\"jti\":\"t1\"}\n{\"jti\":\"t2\"}\n", NOW)
        .unwrap();
    revocations.load("{\"jti\":\"t2\"}\n", NOW).unwrap();
    assert!(!revocations.covers(Some("t1"), "", None));
    assert!(revocations.covers(Some("t2"), "", None));
    revocations.load("", NOW).unwrap();
    assert!(!revocations.covers(Some("t2"), "", None));
    assert!(revocations.covers(Some("t9"), "", None), "not of the file");
}

#[tokio::test]
async fn nobody_authenticated_in_the_future() {
    let rules = ClaimRules::default().leeway_ms(2_000);
    let keys = ring(&[KeyMaterial::Hmac(SECRET.to_vec())]);
    let verifier = JwtVerifier::new(keys, None, rules, Arc::default());
    for (iat, auth_time, found) in [
        (None, NOW_SECONDS - 5, NOW - 5_000),
        (None, 4_102_444_800, NOW + 2_000),
        (Some(NOW_SECONDS - 60), 4_102_444_800, NOW - 58_000),
        (Some(4_102_444_800), 4_102_444_800, NOW + 2_000),
    ] {
        let claims = Claims {
            iat,
            auth_time: Some(auth_time),
            ..Claims::default()
        };
        let claims = verifier.connection(&minted(&claims), NOW).await.unwrap();
        assert_eq!(claims.authenticated_at, Some(found), "{iat:?} {auth_time}");
    }
}

#[test]
fn a_bad_revocation_file_changes_nothing() {
    let revocations = Revocations::default();
    let text = "{\"jti\":\"t1\"}\n{\"jit\":\"t2\"}\n";
    let error = revocations.load(text, NOW).unwrap_err();
    assert_eq!(error.to_string(), "line 2 is not a revocation");
    assert!(!revocations.covers(Some("t1"), "", None));
}

#[test]
fn a_full_revocation_list_makes_room_only_from_the_expired() {
    let revocations = Revocations::default();
    let add = |n: usize, until: Option<u64>| {
        let jti = format!("t{n}");
        revocations.add(Revocation::Token { jti, until }, NOW)
    };
    for n in 0..REVOCATIONS {
        add(n, (n == 0).then_some(NOW_SECONDS - 1)).unwrap();
    }
    add(REVOCATIONS, None).unwrap();
    let full = add(REVOCATIONS + 1, None);
    assert!(matches!(full, Err(RevocationError::Full)));
    assert!(!revocations.covers(Some("t0"), "", None));
    assert!(revocations.covers(Some("t1"), "", None));
}

const REVOCATIONS: usize = REVOCATIONS_MAX;

#[test]
fn refuses_keys_that_are_none() {
    let p521_is_no_pem = KeyMaterial::EcPem("-----BEGIN PUBLIC KEY-----".to_owned());
    let rows = [
        (KeyMaterial::Hmac(Vec::new()), KeyError::Empty),
        (p521_is_no_pem, KeyError::Unreadable),
        (KeyMaterial::RsaPem("no".to_owned()), KeyError::Unreadable),
    ];
    for (material, error) in rows {
        assert_eq!(VerificationKey::new(&material).unwrap_err(), error);
    }
}

#[test]
fn no_error_shows_a_token_or_a_secret() {
    let material = KeyMaterial::Hmac(SECRET.to_vec());
    let key = VerificationKey::new(&material).unwrap();
    let shown = format!("{material:?} {key:?}");
    assert!(!shown.contains("municipality"), "{shown}");
}

/// An identity provider that answers what it is told to and counts.
struct Provider {
    address: SocketAddr,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new((503, String::new())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (told, count) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = [0u8; 2048];
                let _ = socket.read(&mut request).await;
                count.fetch_add(1, Ordering::SeqCst);
                let (status, body) = told.lock().unwrap().clone();
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                let _ = socket.write_all(head.as_bytes()).await;
                let _ = socket.write_all(body.as_bytes()).await;
            }
        });
        Self {
            address,
            answer,
            asked,
        }
    }

    fn tell(&self, status: u16, body: String) {
        *self.answer.lock().unwrap() = (status, body);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn key_set(&self) -> Arc<KeySet> {
        let uri = format!("http://{}/keys", self.address).parse().unwrap();
        Arc::new(KeySet::new(KeySetSource::Url(uri)))
    }
}

fn public_set(pair: &Pair, id: &str) -> String {
    let key = EncodingKey::from_ec_pem(pair.private_pem.as_bytes()).unwrap();
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    jwk.common.key_id = Some(id.to_owned());
    serde_json::to_string(&JwkSet { keys: vec![jwk] }).unwrap()
}

#[tokio::test]
async fn fetches_an_unknown_key_once_and_keeps_it_through_an_outage() {
    let provider = Provider::start().await;
    let p256 = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
    let key_set = provider.key_set();
    let keys = Some(Arc::clone(&key_set));
    let verifier = JwtVerifier::new(
        KeyRing::default(),
        keys,
        ClaimRules::default(),
        Arc::default(),
    );
    let signer = SigningKey::pem(Algorithm::ES256, &p256.private_pem)
        .unwrap()
        .with_id("k1");
    provider.tell(200, public_set(&p256, "k1"));
    let token = signer.mint(&claims()).unwrap();
    assert_eq!(check(&verifier, &token).await, Ok("teacher-7".to_owned()));
    assert_eq!(provider.asked(), 1);

    provider.tell(503, String::new());
    assert!(key_set.fetch().await.is_err());
    let again = signer
        .mint(&Claims {
            iat: Some(1),
            ..claims()
        })
        .unwrap();
    assert!(check(&verifier, &again).await.is_ok(), "keys in hand stay");
    let asked = provider.asked();
    let stranger = SigningKey::pem(Algorithm::ES256, &p256.private_pem)
        .unwrap()
        .with_id("k2");
    let stranger = stranger.mint(&claims()).unwrap();
    for _ in 0..50 {
        let verdict = check(&verifier, &stranger).await;
        assert_eq!(verdict, Err(TokenError::Unavailable));
    }
    assert_eq!(provider.asked(), asked, "fetches are bounded by time");
}

#[tokio::test]
async fn an_unknown_key_of_a_fresh_set_is_invalid() {
    let provider = Provider::start().await;
    let p256 = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
    provider.tell(200, public_set(&p256, "k1"));
    let keys = Some(provider.key_set());
    let verifier = JwtVerifier::new(
        KeyRing::default(),
        keys,
        ClaimRules::default(),
        Arc::default(),
    );
    let stranger = SigningKey::pem(Algorithm::ES256, &p256.private_pem)
        .unwrap()
        .with_id("k2")
        .mint(&claims())
        .unwrap();
    for _ in 0..3 {
        let verdict = check(&verifier, &stranger).await;
        assert_eq!(verdict, Err(Flaw::UnknownKey.into()));
    }
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn secrets_in_a_published_set_are_not_used() {
    let provider = Provider::start().await;
    let secret = URL_SAFE_NO_PAD.encode(SECRET);
    let set = json!({"keys": [{"kty": "oct", "kid": "k1", "alg": "HS256", "k": secret}]});
    provider.tell(200, set.to_string());
    let keys = Some(provider.key_set());
    let verifier = JwtVerifier::new(
        KeyRing::default(),
        keys,
        ClaimRules::default(),
        Arc::default(),
    );
    let token = SigningKey::hmac(SECRET)
        .with_id("k1")
        .mint(&claims())
        .unwrap();
    assert!(check(&verifier, &token).await.is_err());
}

#[tokio::test]
async fn reads_a_key_set_file() {
    let p256 = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), public_set(&p256, "k1")).unwrap();
    let source = KeySetSource::File(file.path().to_path_buf());
    let keys = Some(Arc::new(KeySet::new(source)));
    let verifier = JwtVerifier::new(
        KeyRing::default(),
        keys,
        ClaimRules::default(),
        Arc::default(),
    );
    let signer = SigningKey::pem(Algorithm::ES256, &p256.private_pem).unwrap();
    let token = signer.mint(&claims()).unwrap();
    assert!(check(&verifier, &token).await.is_ok());
}

#[tokio::test]
async fn before_any_key_was_had_every_token_may_pass_later() {
    let p256 = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let key_set = Arc::new(KeySet::new(KeySetSource::File(path.clone())));
    let verifier = JwtVerifier::new(
        KeyRing::default(),
        Some(Arc::clone(&key_set)),
        ClaimRules::default(),
        Arc::default(),
    );
    let signer = SigningKey::pem(Algorithm::ES256, &p256.private_pem).unwrap();
    let ours = signer.mint(&claims()).unwrap();
    let secret = minted(&claims());
    for token in [&ours, &secret] {
        let verdict = check(&verifier, token).await;
        assert_eq!(verdict, Err(TokenError::Unavailable));
    }
    let broken = check(&verifier, "no token").await;
    assert_eq!(broken, Err(Flaw::Malformed.into()), "whatever keys come");

    std::fs::write(&path, public_set(&p256, "k1")).unwrap();
    key_set.fetch().await.unwrap();
    assert!(check(&verifier, &ours).await.is_ok());
    let verdict = check(&verifier, &secret).await;
    assert!(
        matches!(verdict, Err(TokenError::Invalid(_))),
        "{verdict:?}"
    );

    std::fs::remove_file(&path).unwrap();
    assert!(key_set.fetch().await.is_err());
    let verdict = check(&verifier, &secret).await;
    assert!(
        matches!(verdict, Err(TokenError::Invalid(_))),
        "by the keys in hand"
    );
}

proptest! {
    #[test]
    fn hostile_bytes_never_pass(token in "\\PC{0,200}") {
        let verdict = futures_util::FutureExt::now_or_never(hmac_verifier().connection(&token, NOW));
        prop_assert!(verdict.expect("no key to fetch").is_err());
    }

    #[test]
    fn a_changed_token_never_passes(at in 0usize..1000, to in proptest::sample::select(b"AZaz09-_.".to_vec())) {
        let mut token = minted(&claims()).into_bytes();
        let at = at % token.len();
        // The last character of a part holds bits that decode to nothing; strict decoding refuses them.
        prop_assume!(token[at] != to);
        token[at] = to;
        let token = String::from_utf8(token).expect("ASCII stays ASCII");
        let verdict = futures_util::FutureExt::now_or_never(hmac_verifier().connection(&token, NOW));
        prop_assert!(verdict.expect("no key to fetch").is_err());
    }
}
