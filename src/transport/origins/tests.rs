use std::net::Ipv4Addr;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Whoever asks a hundred times comes in so often.
fn let_in(origins: &Arc<Origins>, peer: IpAddr) -> usize {
    (0..100).filter_map(|_| origins.knock(peer)).count()
}

fn origins() -> Arc<Origins> {
    Origins::new(Unrationed::nobody(), Arc::new(Metrics::new()))
}

fn peer(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

/// So many come in and are put out.
fn put_out(origins: &Arc<Origins>, peer: IpAddr, times: usize) {
    for _ in 0..times {
        origins.knock(peer).expect("let in").left(true);
    }
}

/// How long a newcomer waits; `None` if it is turned away.
fn wait(origins: &Arc<Origins>, peer: IpAddr) -> Option<Duration> {
    let visitor = origins.knock(peer)?;
    let turn = visitor.turn.unwrap_or_else(Instant::now);
    Some(turn.saturating_duration_since(Instant::now()))
}

#[tokio::test(start_paused = true)]
async fn four_put_outs_in_a_minute_are_forgiven_and_with_the_fifth_newcomers_take_turns() {
    let origins = origins();
    let caller = origins.knock(peer(1)).expect("let in");
    put_out(&origins, peer(1), 4);
    assert_eq!(let_in(&origins, peer(1)), 100);
    put_out(&origins, peer(1), 1);
    // One now, and then one in each second or two for as long as anybody waits.
    assert_eq!(wait(&origins, peer(1)), Some(Duration::ZERO));
    assert_eq!(wait(&origins, peer(1)), Some(2 * SECOND));
    assert_eq!(let_in(&origins, peer(1)), 4);
    assert_eq!(wait(&origins, peer(1)), None);
    assert_eq!(let_in(&origins, peer(2)), 100, "that is another address");
    // Somebody shows a good key, and those who come now need not wait for those who came before.
    caller.shows_good_key();
    assert_eq!(wait(&origins, peer(1)), Some(PAUSE_AMONG_GOOD));
}

#[tokio::test(start_paused = true)]
async fn each_put_out_doubles_the_wait_to_half_a_minute_and_peace_undoes_it() {
    let origins = origins();
    put_out(&origins, peer(1), 4);
    for pause in [2, 4, 8, 16, 32, 32, 32] {
        put_out(&origins, peer(1), 1);
        let record = *origins.held().records.values().next().expect("a record");
        let pause = Duration::from_secs(pause);
        assert_eq!(record.pause(false, Instant::now()), Some(pause));
        // The next one need not wait for its turn here: as time goes by, so does what is owed.
        origins
            .held()
            .records
            .values_mut()
            .for_each(|record| record.last_turn = None);
    }
    tokio::time::advance(DEBT_MAX - DEBT_FREE).await;
    assert_eq!(let_in(&origins, peer(1)), 100);
    tokio::time::advance(DEBT_FREE).await;
    put_out(&origins, peer(2), 1);
    assert_eq!(origins.held().records.len(), 1, "the first is forgotten");
}

#[tokio::test(start_paused = true)]
async fn where_a_good_key_was_shown_turns_come_often_and_whoever_shows_one_gives_it_back() {
    let origins = origins();
    let caller = origins.knock(peer(1)).expect("let in");
    let crowd = (0..10).map(|_| origins.knock(peer(1)).expect("let in"));
    crowd
        .collect::<Vec<_>>()
        .iter()
        .for_each(|bad| bad.left(true));
    assert_eq!(let_in(&origins, peer(1)), 1);
    caller.shows_good_key();
    let waits: Vec<_> = std::iter::from_fn(|| wait(&origins, peer(1))).collect();
    assert_eq!(waits.len(), 100);
    assert_eq!(waits.last(), Some(&TURN_PATIENCE), "nobody waits longer");
    // Honest newcomers do not stand in each other's way.
    tokio::time::advance(TURN_PATIENCE).await;
    let begun = Instant::now();
    for _ in 0..1000 {
        let newcomer = origins.knock(peer(1)).expect("let in");
        newcomer.turn().await;
        newcomer.shows_good_key();
        newcomer.shows_good_key();
        newcomer.left(false);
    }
    assert!(begun.elapsed() <= PAUSE_AMONG_GOOD, "only the first waits");
    assert_eq!(wait(&origins, peer(1)), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_good_key_speaks_for_its_address_for_a_minute() {
    let origins = origins();
    let caller = origins.knock(peer(1)).expect("let in");
    let bad = origins.knock(peer(1)).expect("let in");
    (0..10).for_each(|_| bad.left(true));
    caller.shows_good_key();
    tokio::time::advance(GOOD_FOR - Duration::from_millis(1)).await;
    assert!(let_in(&origins, peer(1)) > 90);
    tokio::time::advance(TURN_PATIENCE).await;
    assert!(let_in(&origins, peer(1)) < 10);
}

#[tokio::test(start_paused = true)]
async fn a_good_key_speaks_for_its_address_though_nothing_was_owed_when_it_was_shown() {
    let origins = origins();
    origins.knock(peer(1)).expect("let in").shows_good_key();
    put_out(&origins, peer(1), 10);
    assert!(let_in(&origins, peer(1)) > 90, "ten a second");
    let bad = origins.knock(peer(2)).expect("let in");
    (0..10).for_each(|_| bad.left(true));
    assert_eq!(let_in(&origins, peer(2)), 1, "nobody has shown one there");
}

#[tokio::test(start_paused = true)]
async fn of_more_good_keys_than_there_is_room_for_the_first_is_forgotten() {
    let origins = origins();
    let show = |peer| origins.knock(peer).expect("let in").shows_good_key();
    let somewhere = |number: usize| {
        let number = u32::try_from(number).expect("few");
        IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number))
    };
    let is_good = |peer| origins.held().is_good(Origin(peer), Instant::now());
    show(peer(1));
    for number in 0..ORIGINS_MAX {
        tokio::time::advance(Duration::from_micros(1)).await;
        show(somewhere(number));
    }
    assert_eq!(origins.held().good.len(), ORIGINS_MAX);
    assert!(!is_good(peer(1)) && is_good(somewhere(0)));
    // Those whose time is over go all together.
    tokio::time::advance(GOOD_FOR).await;
    show(peer(1));
    assert_eq!(origins.held().good.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_never_shows_a_key_takes_turns_in_the_end_and_a_few_do_not() {
    let origins = origins();
    let nameless = |times| {
        (0..times).for_each(|_| origins.knock(peer(1)).expect("let in").left(false));
    };
    nameless(240);
    assert_eq!(let_in(&origins, peer(1)), 100);
    nameless(1);
    assert!(let_in(&origins, peer(1)) < 20);
    // Probes of health, from each of three clusters once a second.
    for second in 0..600 {
        (0..3).for_each(|_| origins.knock(peer(2)).expect("let in").left(false));
        assert_eq!(let_in(&origins, peer(2)), 100, "after {second} s");
        tokio::time::advance(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_had_a_good_key_owes_nothing_when_it_leaves_unless_it_floods() {
    let origins = origins();
    for _ in 0..1000 {
        let caller = origins.knock(peer(1)).expect("let in");
        caller.shows_good_key();
        caller.left(false);
    }
    assert_eq!(origins.held().records.len(), 0);
    let caller = origins.knock(peer(1)).expect("let in");
    caller.shows_good_key();
    caller.left(true);
    assert_eq!(origins.held().records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn half_of_an_ipv6_address_counts_and_ipv4_is_the_same_however_it_is_written() {
    let origins = origins();
    let neighbour = |text: &str| text.parse::<IpAddr>().expect("an address");
    put_out(&origins, neighbour("2001:db8:0:1::1"), 5);
    assert!(let_in(&origins, neighbour("2001:db8:0:1:ffff::2")) < 10);
    assert_eq!(let_in(&origins, neighbour("2001:db8:0:2::1")), 100);
    put_out(&origins, neighbour("::ffff:192.0.2.1"), 5);
    assert!(let_in(&origins, peer(1)) < 10);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_against_addresses_that_are_not_rationed() {
    let proxy = peer(9);
    let unrationed = Unrationed::new(move |peer| peer == proxy);
    let origins = Origins::new(unrationed, Arc::new(Metrics::new()));
    put_out(&origins, proxy, 1000);
    assert_eq!(let_in(&origins, proxy), 100);
    assert_eq!(origins.held().records.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_more_addresses_are_kept_than_there_is_room_for_and_the_least_debt_goes_first() {
    let origins = origins();
    put_out(&origins, peer(1), 5);
    for number in 0..u32::try_from(2 * ORIGINS_MAX).expect("few") {
        let stranger = Ipv4Addr::from_bits(0x0a00_0000 + number).into();
        put_out(&origins, stranger, 1);
        tokio::time::advance(Duration::from_micros(1)).await;
    }
    let held = origins.held();
    assert_eq!(held.records.len(), ORIGINS_MAX);
    assert_eq!(held.order.len(), ORIGINS_MAX);
    let remembered = |peer| held.records.contains_key(&Origin(peer));
    assert!(remembered(peer(1)), "it owes most");
    assert!(!remembered(Ipv4Addr::from_bits(0x0a00_0000).into()));
}
