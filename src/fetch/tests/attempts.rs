//! Hundreds of ways to reach what a stranger must not: each is refused, and nobody is connected to.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

use super::*;

/// An address and, behind a tab, what its name leads to: nothing at all if `-`. `{port}` is where a
/// test listens.
const ATTEMPTS: &str = include_str!("attempts.tsv");

/// Listens where an attempt would arrive that is not refused.
struct Trap {
    listeners: Vec<TcpListener>,
    port: u16,
}

impl Trap {
    fn set() -> Self {
        let first = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
        let port = first.local_addr().expect("an address").port();
        let mut listeners = vec![first];
        // Where there is IPv6.
        listeners.extend(TcpListener::bind((Ipv6Addr::LOCALHOST, port)));
        for listener in &listeners {
            listener.set_nonblocking(true).expect("a listener");
        }
        Self { listeners, port }
    }

    /// How many came since the last look. The system completes a connection before the one who
    /// makes it hears so: whoever came is seen here.
    fn caught(&self) -> usize {
        let waiting = |listener: &TcpListener| {
            std::iter::from_fn(|| match listener.accept() {
                Ok(guest) => Some(guest),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                    None
                }
            })
            .count()
        };
        self.listeners.iter().map(waiting).sum()
    }
}

/// Each attempt, with what its name leads to.
fn attempts() -> Vec<(&'static str, Vec<Vec<IpAddr>>)> {
    let lines = ATTEMPTS.lines().filter(|line| !line.starts_with("# "));
    let attempts: Vec<_> = lines
        .map(|line| {
            let (url, leads) = line.split_once('\t').expect("a tab");
            let leads = match leads {
                "-" => vec![],
                "" => vec![vec![]],
                list => vec![list.split(',').map(ip).collect()],
            };
            (url, leads)
        })
        .collect();
    assert!(attempts.len() >= 200, "{}", attempts.len());
    attempts
}

/// Tries every attempt, and says which came through to the trap or brought anything.
async fn try_all(client: &Client, book: &Book, trap: &Trap, port: &str) -> Vec<String> {
    let mut through = Vec::new();
    for (url, leads) in attempts() {
        book.say(leads);
        let url = url.replace("{port}", port);
        let answer = fetch(client, &url).await;
        let refused = matches!(
            answer,
            Err(FetchError::Address(_) | FetchError::Unreachable)
        );
        if !refused || trap.caught() > 0 {
            through.push(format!("{url}: {answer:?}"));
        }
    }
    through
}

/// What a stranger may try (`reliability.md` G21), by the titles in the list.
const CLASSES: [&str; 10] = [
    "Loopback in fewer parts",
    "Private, link-local and metadata",
    "only look like others",
    "IPv6: loopback",
    "mapped, compatible, translated, 6to4, Teredo, NAT64",
    "Names that lead inside",
    "one address is public and another is not",
    "Other schemes",
    "Credentials",
    "Other ports",
];

#[test]
fn every_class_has_its_attempts_and_none_is_there_twice() {
    let mut seen = std::collections::HashSet::new();
    let mut classes: Vec<(&str, usize)> = Vec::new();
    for line in ATTEMPTS.lines() {
        assert!(seen.insert(line), "{line} is there twice");
        match line.strip_prefix("# ") {
            Some(title) => classes.push((title, 0)),
            None => classes.last_mut().expect("a title").1 += 1,
        }
    }
    for class in CLASSES {
        let found = classes.iter().find(|(title, _)| title.contains(class));
        let (_, attempts) = found.unwrap_or_else(|| panic!("nothing is tried of {class}"));
        assert!(*attempts >= 8, "{class}: {attempts}");
    }
}

#[tokio::test]
async fn every_attempt_is_refused_without_a_connection() {
    let (trap, book) = (Trap::set(), Book::with([]));
    // As typed, on the port of https.
    let strict = client(&book, Rules::new(&[]));
    let through = try_all(&strict, &book, &trap, "").await;
    assert_eq!(through, Vec::<String>::new());
    // The same with the trap's port in the place of 443: here only the address is at fault.
    let on_the_trap = client(&book, Rules::new(&[]).with_https_port(trap.port));
    let through = try_all(&on_the_trap, &book, &trap, &format!(":{}", trap.port)).await;
    assert_eq!(through, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_allowed_elsewhere_opens_nothing_else() {
    let (trap, book) = (Trap::set(), Book::with([]));
    let allow = [
        network("10.99.0.0", 16),
        network("fd99::", 16),
        Allowed::Host {
            name: "files.internal".to_owned(),
            port: None,
        },
        Allowed::Network {
            base: ip("127.0.0.1"),
            prefix: 32,
            port: Some(1),
        },
    ];
    let client = client(&book, Rules::new(&allow).with_https_port(trap.port));
    let through = try_all(&client, &book, &trap, &format!(":{}", trap.port)).await;
    assert_eq!(through, Vec::<String>::new());
}

#[tokio::test]
async fn the_attempts_would_arrive_if_they_were_not_refused() {
    let (trap, book) = (Trap::set(), Book::with([]));
    let allow = [
        network("127.0.0.0", 8),
        network("0.0.0.0", 8),
        network("::1", 128),
        network("::ffff:127.0.0.0", 104),
    ];
    let hasty = Limits {
        connect: Duration::from_millis(10),
        total: Duration::from_millis(10),
        at_once: 8,
    };
    let client = client_within(hasty, &book, Rules::new(&allow));
    let mut arrived = 0;
    for (url, leads) in attempts()
        .into_iter()
        .filter(|(url, _)| url.contains("{port}"))
    {
        // Nobody answers there; that a connection was asked for is all that counts. Where the machine
        // stands still, the time is over before that.
        let url = url.replace("{port}", &format!(":{}", trap.port));
        for _ in 0..10 {
            book.say(leads.clone());
            let _ = fetch(&client, &url).await;
            if trap.caught() > 0 {
                arrived += 1;
                break;
            }
        }
    }
    assert!(arrived >= 60, "only {arrived} of the attempts can arrive");
}
