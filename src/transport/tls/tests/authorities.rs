//! Authorities of callers, whose time has come or is over.

use std::time::Duration;

use jiff::SignedDuration;
use rcgen::date_time_ymd;

use super::*;
use crate::transport::tls::authorities::{Passed, Term};

/// An authority whose time is over, or has not come.
fn expired() -> Authority {
    Authority::with(|params| params.not_after = date_time_ymd(2020, 1, 1))
}

fn early() -> Authority {
    Authority::with(|params| params.not_before = date_time_ymd(2900, 1, 1))
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

#[tokio::test]
async fn an_authority_beside_others_begins_and_ends_exactly_without_a_look_at_the_files() {
    let (server, good) = (Authority::new(), Authority::new());
    let change = second() + 4;
    let (old, new) = (valid(0, change), valid(change + 1, change + 3600));
    let relay = desk(&server, &[&old, &new]).open().unwrap();
    let beside = desk(&server, &[&old, &good, &new]).open().unwrap();
    for tls in [&relay, &beside] {
        assert!(is_let_in(tls, &server, &old).await);
        assert!(!is_let_in(tls, &server, &new).await);
    }
    while second() <= change {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for tls in [&relay, &beside] {
        assert!(!is_let_in(tls, &server, &old).await);
        assert!(is_let_in(tls, &server, &new).await);
    }
    assert!(is_let_in(&beside, &server, &good).await);
}

#[tokio::test]
async fn a_certificate_that_may_not_sign_lets_nobody_in_though_it_is_among_the_authorities() {
    let (server, good) = (Authority::new(), Authority::new());
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let leaf = Authority::with(|params| params.is_ca = is_ca);
        let both = desk(&server, &[&leaf, &good]);
        let tls = both.open().unwrap();
        assert!(is_let_in(&tls, &server, &good).await);
        assert!(!is_let_in(&tls, &server, &leaf).await);
        let passed = tls.current().authorities.unwrap().passed;
        assert_eq!(passed.no_signer, Some(1), "it is complained about");
        let said = desk(&server, &[&leaf]).open().unwrap_err().to_string();
        let none = "client-ca.pem is one of an authority: none may sign others";
        assert!(said.ends_with(none), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn authorities_that_expire_in_two_weeks_are_complained_about_once_a_day() {
    let day = SignedDuration::from_hours(24);
    let term = |days: i32| {
        let ends = crate::clock::now() + day * days;
        Some(Term {
            changes: ends,
            ends,
            closes: ends,
            passed: Passed::default(),
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
