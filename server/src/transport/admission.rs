//! Who gets in: how many connections, how many from one address, and how fast.
//!
//! The limits per address protect against one broken or hostile program. A school behind one
//! address is not that, so the defaults leave room for thousands; connections from the machine
//! itself are a proxy's or a test's and count only towards the total. IPv6 addresses count by /64,
//! which is what one customer has.
//!
//! Beyond the total a small reserve lets in who only looks (`GET /health`, `GET /metrics`): a full node
//! must not be taken for a dead one.
//!
//! A proxy in front that is known as such counts towards the total too; who comes through it is
//! counted when the request says who that is.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::{HeaderMap, HeaderName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failing::Failing;
use crate::config::Network;

/// Where proxies write for whom they ask, each at the end of what it was told.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Addresses remembered at once. At some 64 bytes each the table stays below 8 MiB.
const ADDRESSES_MAX: usize = 100_000;

/// Connections beyond the limit that may only look. Whoever comes to a full node holds one until it is told so, a
/// round trip; at 50 ms, 256 are enough for five thousand comers a second and a balancer among them.
pub const LOOKS_MAX: usize = 256;

/// The same on ports with TLS. Each costs a handshake, which a full node can ill afford: 32 at 100 ms are three
/// hundred a second, a ninth of a core.
pub const LOOKS_TLS_MAX: usize = 32;

/// The reserve that a look is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// For ports without TLS.
    Plain,
    /// For ports with TLS.
    Tls,
}

/// The limits. Zero means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections in all.
    pub connections: usize,
    /// Open connections of one address.
    pub connections_per_address: u32,
    /// New connections of one address a second, on average; ten seconds' worth may come at once.
    pub rate_per_address: u32,
}

impl Default for Limits {
    /// No total; an address may hold 8,192 connections (a large school's devices) and open 200 a
    /// second (all of them within a minute).
    fn default() -> Self {
        Self {
            connections: 0,
            connections_per_address: 8192,
            rate_per_address: 200,
        }
    }
}

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// The server is full.
    #[error("connection limit reached")]
    Full,
    /// The address holds too many.
    #[error("connection limit of the address reached")]
    Address,
    /// The address comes too fast.
    #[error("connection rate of the address reached")]
    Rate,
}

impl Refused {
    /// The name used in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Address => "address",
            Self::Rate => "rate",
        }
    }

    /// What the client is told before the door closes. Plain HTTP, for nothing else was said yet.
    #[must_use]
    pub fn answer(self) -> &'static [u8] {
        match self {
            Self::Full => {
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 24\r\n\r\nconnection limit reached"
            }
            Self::Address | Self::Rate => {
                b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n\r\ntoo many connections"
            }
        }
    }
}

/// One address's account.
struct Account {
    open: u32,
    /// Connections it may still open at once.
    allowance: f64,
    counted_at: Instant,
}

/// The door book of a node.
pub struct Admission {
    limits: Limits,
    proxies: Box<[Network]>,
    open: AtomicUsize,
    looks: Arc<Semaphore>,
    looks_tls: Arc<Semaphore>,
    failing: Failing,
    accounts: Mutex<HashMap<IpAddr, Account>>,
}

/// The right to one open connection. Dropping it gives it back.
pub struct Permit {
    admission: Arc<Admission>,
    charge: Option<Charge>,
}

/// The right to look once. Dropping it gives it back.
pub struct Look {
    admission: Arc<Admission>,
    /// Held for as long as it lasts.
    _charge: Option<Charge>,
    _place: OwnedSemaphorePermit,
}

/// What a socket was let in for.
pub enum Place {
    /// For whatever it asks.
    Connection(Permit),
    /// To look, where there was no room for more.
    Look(Look),
}

/// One open connection on the account of an address. Dropping it gives it back.
pub struct Charge {
    admission: Arc<Admission>,
    account: IpAddr,
}

/// Seconds of its rate an address may use at once.
const BURST_SECONDS: f64 = 10.0;

impl Admission {
    /// A door with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Self::behind(Vec::new(), limits)
    }

    /// A door behind proxies that say for whom they ask.
    #[must_use]
    pub fn behind(proxies: Vec<Network>, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            proxies: proxies.into(),
            open: AtomicUsize::new(0),
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
            looks_tls: Arc::new(Semaphore::new(LOOKS_TLS_MAX)),
            failing: Failing::default(),
            accounts: Mutex::default(),
        })
    }

    /// Open connections; who only looks is none.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether its ports can accept.
    #[must_use]
    pub const fn failing(&self) -> &Failing {
        &self.failing
    }

    /// Lets a connection in, or says why not.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn admit(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Result<Permit, Refused> {
        let total = self.limits.connections;
        if total > 0 && self.open() >= total {
            return Err(Refused::Full);
        }
        let charge = self.charge_socket(peer, now)?;
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Permit {
            admission: Arc::clone(self),
            charge,
        })
    }

    /// Lets in somebody whose address may be another's: the total holds, and the address is to be charged once it is known.
    ///
    /// # Errors
    /// [`Refused::Full`].
    pub fn admit_unproven(self: &Arc<Self>) -> Result<Permit, Refused> {
        let total = self.limits.connections;
        if total > 0 && self.open() >= total {
            return Err(Refused::Full);
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Permit {
            admission: Arc::clone(self),
            charge: None,
        })
    }

    /// Lets in a connection that may only look, whatever the total, or says why not. The limits of its address hold.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn admit_look(
        self: &Arc<Self>,
        peer: IpAddr,
        reserve: Reserve,
        now: Instant,
    ) -> Result<Look, Refused> {
        let places = match reserve {
            Reserve::Plain => &self.looks,
            Reserve::Tls => &self.looks_tls,
        };
        let place = Arc::clone(places).try_acquire_owned();
        let place = place.map_err(|_| Refused::Full)?;
        let charge = self.charge_socket(peer, now)?;
        Ok(Look {
            admission: Arc::clone(self),
            _charge: charge,
            _place: place,
        })
    }

    /// Puts a socket on the account of its other end, unless that is a proxy.
    fn charge_socket(
        self: &Arc<Self>,
        peer: IpAddr,
        now: Instant,
    ) -> Result<Option<Charge>, Refused> {
        if self.is_proxy(peer) {
            return Ok(None);
        }
        self.charge(peer, now)
    }

    /// Puts a connection on the account of an address; `None` when none is kept for it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn charge(
        self: &Arc<Self>,
        client: IpAddr,
        now: Instant,
    ) -> Result<Option<Charge>, Refused> {
        let Some(account) = account_of(client).filter(|_| self.counts_addresses()) else {
            return Ok(None);
        };
        self.debit(account, now)?;
        Ok(Some(Charge {
            admission: Arc::clone(self),
            account,
        }))
    }

    /// Who asks: the other end, or when that is a known proxy, the last address before it that is
    /// none. What stands further left anybody could have written.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let told = headers.get_all(FORWARDED_FOR).iter();
        // By bytes: what a client wrote further left must not make the proxy's own word unreadable.
        let told: Vec<&[u8]> = told.map(|value| value.as_bytes()).collect();
        let told = told.iter().rev();
        let mut told = told.flat_map(|value| value.rsplit(|byte| *byte == b','));
        while self.is_proxy(client) {
            let text = told.next().and_then(|it| std::str::from_utf8(it).ok());
            match text.and_then(address_in) {
                Some(before) => client = before,
                None => break,
            }
        }
        client
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.holds(address))
    }

    fn counts_addresses(&self) -> bool {
        self.limits.connections_per_address > 0 || self.limits.rate_per_address > 0
    }

    fn debit(&self, address: IpAddr, now: Instant) -> Result<(), Refused> {
        let rate = f64::from(self.limits.rate_per_address);
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= ADDRESSES_MAX && !accounts.contains_key(&address) {
            accounts.retain(|_, account| account.open > 0 || !account.is_full(rate, now));
            if accounts.len() >= ADDRESSES_MAX {
                return Err(Refused::Full);
            }
        }
        let account = accounts.entry(address).or_insert_with(|| Account {
            open: 0,
            allowance: rate * BURST_SECONDS,
            counted_at: now,
        });
        let most = self.limits.connections_per_address;
        if most > 0 && account.open >= most {
            return Err(Refused::Address);
        }
        if rate > 0.0 {
            account.count(rate, now);
            if account.allowance < 1.0 {
                return Err(Refused::Rate);
            }
            account.allowance -= 1.0;
        }
        account.open += 1;
        Ok(())
    }

    fn credit(&self, address: IpAddr) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let limited = self.limits.rate_per_address > 0;
        if let Some(account) = accounts.get_mut(&address) {
            account.open = account.open.saturating_sub(1);
            // With a rate, the account is kept until the table is swept: closing must not
            // give back the right to open at once again.
            if account.open == 0 && !limited {
                accounts.remove(&address);
            }
        }
    }
}

impl Account {
    fn count(&mut self, rate: f64, now: Instant) {
        let passed = now.saturating_duration_since(self.counted_at).as_secs_f64();
        self.allowance = (self.allowance + passed * rate).min(rate * BURST_SECONDS);
        self.counted_at = now;
    }

    fn is_full(&self, rate: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted_at).as_secs_f64();
        self.allowance + passed * rate >= rate * BURST_SECONDS
    }
}

impl Place {
    /// The door that let it in.
    #[must_use]
    pub const fn admission(&self) -> &Arc<Admission> {
        match self {
            Self::Connection(permit) => &permit.admission,
            Self::Look(look) => &look.admission,
        }
    }
}

impl Permit {
    /// From now on it is on this account.
    pub fn put_on(&mut self, charge: Charge) {
        self.charge = Some(charge);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.admission.credit(self.account);
    }
}

/// The address in one item of the header: alone, with a port, or in brackets.
fn address_in(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let address = address.or_else(|_| text.parse::<SocketAddr>().map(|it| it.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// Whose account an address counts on; `None` for the machine itself.
fn account_of(peer: IpAddr) -> Option<IpAddr> {
    const NETWORK: u128 = !0 << 64;
    let peer = peer.to_canonical();
    if peer.is_loopback() {
        return None;
    }
    Some(match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use http::HeaderValue;

    const SCHOOL: &str = "192.0.2.7";

    fn admit(admission: &Arc<Admission>, peer: &str, now: Instant) -> Result<Permit, Refused> {
        admission.admit(peer.parse().expect("an address"), now)
    }

    #[test]
    fn the_total_counts_what_is_open() {
        let admission = Admission::new(Limits {
            connections: 2,
            ..Limits::default()
        });
        let now = Instant::now();
        let first = admit(&admission, "127.0.0.1", now).expect("room");
        let _second = admit(&admission, "192.0.2.1", now).expect("room");
        assert_eq!(admit(&admission, SCHOOL, now).err(), Some(Refused::Full));
        drop(first);
        assert!(admit(&admission, SCHOOL, now).is_ok());
    }

    #[test]
    fn one_address_cannot_take_the_place_of_others() {
        let admission = Admission::new(Limits {
            connections: 0,
            connections_per_address: 2,
            rate_per_address: 0,
        });
        let now = Instant::now();
        let _held: Vec<_> = (0..2)
            .map(|_| admit(&admission, SCHOOL, now).expect("room"))
            .collect();
        assert_eq!(admit(&admission, SCHOOL, now).err(), Some(Refused::Address));
        let mapped = admit(&admission, "::ffff:192.0.2.7", now);
        assert_eq!(mapped.err(), Some(Refused::Address));
        assert!(admit(&admission, "192.0.2.8", now).is_ok());
        let _held: Vec<_> = (1..=2)
            .map(|n| admit(&admission, &format!("2001:db8::{n}"), now).expect("room"))
            .collect();
        let neighbour = admit(&admission, "2001:db8::3", now);
        assert_eq!(neighbour.err(), Some(Refused::Address), "one /64");
        for _ in 0..5 {
            std::mem::forget(admit(&admission, "127.0.0.1", now).expect("the machine itself"));
        }
    }

    #[test]
    fn who_only_looks_takes_nobodys_place_and_keeps_to_the_rules_of_its_address() {
        let admission = Admission::new(Limits {
            connections: 1,
            connections_per_address: 2,
            rate_per_address: 0,
        });
        let now = Instant::now();
        let look = |peer: &str, reserve| {
            admission.admit_look(peer.parse().expect("an address"), reserve, now)
        };
        let held = admit(&admission, "192.0.2.1", now).expect("room");
        let first = look(SCHOOL, Reserve::Plain).expect("a look");
        let _second = look(SCHOOL, Reserve::Plain).expect("a look");
        let third = look(SCHOOL, Reserve::Plain);
        assert_eq!(third.err(), Some(Refused::Address));
        drop(held);
        assert_eq!(admission.open(), 0);
        drop(first);
        assert!(look(SCHOOL, Reserve::Plain).is_ok());

        for (reserve, most) in [
            (Reserve::Plain, LOOKS_MAX - 1),
            (Reserve::Tls, LOOKS_TLS_MAX),
        ] {
            let held: Vec<_> = (0..most).map(|_| look("127.0.0.1", reserve)).collect();
            assert!(held.iter().all(Result::is_ok), "{reserve:?}");
            let beyond = look("127.0.0.1", reserve);
            assert_eq!(beyond.err(), Some(Refused::Full), "{reserve:?}");
        }
    }

    #[test]
    fn who_asks_is_the_last_address_that_is_no_proxy() {
        let proxies = ["10.0.0.0/8", "::1"].map(|it| it.parse().expect("a network"));
        let admission = Admission::behind(proxies.into(), Limits::default());
        let rows: [(&str, &[&str], &str); 12] = [
            ("192.0.2.1", &["198.51.100.9"], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.9"], "198.51.100.9"),
            ("10.0.0.1", &["203.0.113.5, 198.51.100.9"], "198.51.100.9"),
            ("10.0.0.1", &["198.51.100.9, 10.0.0.7"], "198.51.100.9"),
            (
                "10.0.0.1",
                &["203.0.113.5", "198.51.100.9,10.0.0.7"],
                "198.51.100.9",
            ),
            ("10.0.0.1", &["198.51.100.9:4711"], "198.51.100.9"),
            ("::1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("::1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["203.0.113.5, unknown"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["é, 198.51.100.9"], "198.51.100.9"),
            (
                "10.0.0.1",
                &["203.0.113.5", "é, 198.51.100.9"],
                "198.51.100.9",
            ),
        ];
        for (peer, told, client) in rows {
            let mut headers = HeaderMap::new();
            for value in told {
                let value = HeaderValue::from_bytes(value.as_bytes());
                headers.append(FORWARDED_FOR, value.expect("no control characters"));
            }
            let found = admission.client(peer.parse().expect("an address"), &headers);
            assert_eq!(found.to_string(), client, "{peer} {told:?}");
        }
    }

    #[test]
    fn a_proxy_has_no_account_of_its_own() {
        let limits = Limits {
            connections: 0,
            connections_per_address: 1,
            rate_per_address: 0,
        };
        let proxies = vec![SCHOOL.parse().expect("a network")];
        let admission = Admission::behind(proxies, limits);
        let now = Instant::now();
        let mut permits: Vec<_> = (0..3)
            .map(|_| admit(&admission, SCHOOL, now).expect("a proxy"))
            .collect();
        let client = "198.51.100.9".parse().expect("an address");
        let charge = admission.charge(client, now).expect("room");
        permits[0].put_on(charge.expect("an account"));
        let again = admission.charge(client, now);
        assert_eq!(again.err(), Some(Refused::Address));
        drop(permits);
        assert!(admission.charge(client, now).is_ok());
        assert_eq!(admission.open(), 0);
    }

    #[test]
    fn the_rate_allows_a_burst_and_recovers() {
        let admission = Admission::new(Limits {
            connections: 0,
            connections_per_address: 0,
            rate_per_address: 3,
        });
        let start = Instant::now();
        for _ in 0..30 {
            admit(&admission, SCHOOL, start).expect("burst");
        }
        assert_eq!(admit(&admission, SCHOOL, start).err(), Some(Refused::Rate));
        let later = start + Duration::from_secs(1);
        for _ in 0..3 {
            admit(&admission, SCHOOL, later).expect("earned again");
        }
        assert_eq!(admit(&admission, SCHOOL, later).err(), Some(Refused::Rate));
    }

    #[test]
    fn answers_state_their_own_length() {
        for refused in [Refused::Full, Refused::Address, Refused::Rate] {
            let answer = std::str::from_utf8(refused.answer()).expect("ASCII");
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            let stated = format!("Content-Length: {}", body.len());
            assert!(head.contains(&stated), "{refused:?}");
        }
    }
}
