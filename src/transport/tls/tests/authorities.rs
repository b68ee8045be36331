//! Authorities of callers, whose time has come or is over.

use std::time::Duration;

use jiff::SignedDuration;
use rcgen::date_time_ymd;

use super::*;

/// An authority whose time is over, or has not come.
fn expired() -> Authority {
    Authority::with(|params| params.not_after = date_time_ymd(2020, 1, 1))
}

fn early() -> Authority {
    Authority::with(|params| params.not_before = date_time_ymd(2900, 1, 1))
}

/// Files with a certificate of the server, for whom these authorities let callers in.
fn desk(server: &Authority, clients: &[&Authority]) -> Desk {
    let mut desk = Desk::new(&server.sign(|_| ()));
    desk.files.client_ca = Some(desk.folder.path().join("client-ca.pem"));
    admit(&desk, clients);
    desk
}

fn admit(desk: &Desk, clients: &[&Authority]) {
    let pems: Vec<_> = clients.iter().map(|authority| &*authority.pem).collect();
    fs::write(desk.files.client_ca.as_ref().unwrap(), pems.concat()).unwrap();
}

/// Whether somebody with a certificate of this authority is let in.
async fn is_let_in(tls: &Tls, server: &Authority, signer: &Authority) -> bool {
    let pair = signer.sign(|_| ());
    shake_as(tls, server, Some(&pair)).await.is_ok()
}

#[tokio::test]
async fn of_several_authorities_only_those_that_are_valid_now_let_anybody_in() {
    let (server, good, old, new) = (Authority::new(), Authority::new(), expired(), early());
    let tls = desk(&server, &[&old, &good, &new]).open().unwrap();
    assert!(is_let_in(&tls, &server, &good).await);
    for other in [&old, &new, &Authority::new()] {
        assert!(!is_let_in(&tls, &server, other).await);
    }
    shake(&tls, &server)
        .await
        .expect_err("without a certificate");
}

#[test]
fn nothing_starts_if_no_authority_is_valid_now() {
    let server = Authority::new();
    let open = |clients: &[&Authority]| {
        let opened = desk(&server, clients).open().map(drop);
        opened.unwrap_err().to_string()
    };
    let said = open(&[&expired(), &expired()]);
    let over = "client-ca.pem is valid any more: the last was valid until 2020-01-01T00:00:00Z";
    assert!(said.ends_with(over), "{said}");
    let said = open(&[&early(), &expired()]);
    let to_come = "client-ca.pem is valid before 2900-01-01T00:00:00Z";
    assert!(said.ends_with(to_come), "{said}");
}

#[tokio::test]
async fn authorities_that_are_not_valid_now_never_replace_one_that_is() {
    let (server, good) = (Authority::new(), Authority::new());
    let desk = desk(&server, &[&good]);
    let tls = desk.open().unwrap();
    let mut memory = Memory::default();
    for useless in [expired(), early()] {
        admit(&desk, &[&useless]);
        assert_eq!(tls.look(&mut memory).await, Found::Unusable);
        assert_eq!(tls.look(&mut memory).await, Found::StillUnusable);
        assert!(desk.counts("tls_files_refused 1"));
        assert!(is_let_in(&tls, &server, &good).await);
        assert!(!is_let_in(&tls, &server, &useless).await);
    }
    let next = Authority::new();
    admit(&desk, &[&expired(), &next]);
    assert_eq!(tls.look(&mut memory).await, Found::New);
    assert!(desk.counts("tls_files_refused 0"));
    assert!(is_let_in(&tls, &server, &next).await);
    assert!(!is_let_in(&tls, &server, &good).await);
}

/// An authority that is valid from one second since 1970 to another.
fn valid(from: u64, until: u64) -> Authority {
    let at = |second| date_time_ymd(1970, 1, 1) + Duration::from_secs(second);
    Authority::with(|params| (params.not_before, params.not_after) = (at(from), at(until)))
}

fn second() -> u64 {
    crate::clock::now().as_second().unsigned_abs()
}

#[tokio::test]
async fn an_authority_lets_callers_in_from_its_first_moment_to_its_last() {
    let server = Authority::new();
    let (change, end) = (second() + 5, second() + 10);
    let (old, new) = (valid(0, change), valid(change, end));
    let desk = desk(&server, &[&old, &new]);
    let tls = desk.open().unwrap();
    let mut memory = Memory::default();
    assert_eq!(tls.look(&mut memory).await, Found::Same);
    assert!(is_let_in(&tls, &server, &old).await);
    assert!(!is_let_in(&tls, &server, &new).await);
    while tls.look(&mut memory).await == Found::Same {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(is_let_in(&tls, &server, &new).await);
    assert!(!is_let_in(&tls, &server, &old).await);
    assert!(
        memory.remind_of_authorities(tls.current().authorities),
        "the end is near"
    );
    while second() <= end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        !is_let_in(&tls, &server, &new).await,
        "none is valid any more"
    );
    assert_eq!(tls.look(&mut memory).await, Found::Unusable);
    assert_eq!(tls.look(&mut memory).await, Found::StillUnusable);
    assert!(desk.counts("tls_files_refused 1"));
}

#[tokio::test(start_paused = true)]
async fn authorities_that_expire_in_two_weeks_are_complained_about_once_a_day() {
    let day = SignedDuration::from_hours(24);
    let term = |days: i32| {
        let ends = crate::clock::now() + day * days;
        Some(Term {
            changes: ends,
            ends,
            expired: None,
            early: None,
        })
    };
    let mut memory = Memory::default();
    assert!(!memory.remind_of_authorities(None));
    assert!(!memory.remind_of_authorities(term(15)));
    assert!(memory.remind_of_authorities(term(13)));
    assert!(!memory.remind_of_authorities(term(13)));
    tokio::time::advance(Duration::from_secs(24 * 60 * 60)).await;
    assert!(
        memory.remind_of_authorities(term(-1)),
        "and after their end"
    );
}
