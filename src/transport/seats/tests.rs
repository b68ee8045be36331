use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn is_out(seated: &Seated) -> bool {
    seated.seat.put_out.is_cancelled()
}

#[tokio::test(start_paused = true)]
async fn a_full_lobby_puts_out_whoever_waits_for_longest() {
    let seats = Seats::new(2, 2);
    let first = seats.arrive();
    let second = seats.arrive();
    let third = seats.arrive();
    first.put_out().await;
    assert!(!second.place.put_out.is_cancelled());
    assert!(!third.place.put_out.is_cancelled());
    drop(second);
    let fourth = seats.arrive();
    assert!(!third.place.put_out.is_cancelled(), "there was room");
    assert_eq!(seats.lock().lobby.len(), 2);
    drop((first, third, fourth));
    assert_eq!(seats.lock().lobby.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_takes_the_seat_of_the_one_that_is_missed_least() {
    let seats = Seats::new(8, 3);
    let sit = || seats.arrive().sit().expect("a seat");
    let useful = sit();
    useful.seat.open_call(true).served();
    tokio::time::advance(SECOND).await;
    let older = sit();
    tokio::time::advance(SECOND).await;
    let busy = sit();
    let call = busy.seat.open_call(true);
    call.introduction().is_of("acme".into());
    tokio::time::advance(SECOND).await;

    let next = sit();
    assert!(is_out(&older), "never served, and quiet");
    let another = sit();
    assert!(is_out(&next), "never served, though it came later");
    let other_call = another.seat.open_call(true);
    other_call.introduction().is_of("acme".into());
    let last = sit();
    assert!(is_out(&useful), "quiet, where the others have calls");
    assert!(!is_out(&busy) && !is_out(&another) && !is_out(&last));
    assert_eq!(seats.lock().seats.len(), 3);
    drop((call, other_call));
}

#[tokio::test]
async fn a_connection_whose_call_moves_does_not_lose_its_seat() {
    let seats = Seats::new(8, 1);
    let seated = seats.arrive().sit().expect("a seat");
    let call = seated.seat.open_call(true);
    assert!(seats.arrive().sit().is_none());
    assert!(!is_out(&seated));
    drop(call);
    let next = seats.arrive().sit();
    assert!(next.is_some() && is_out(&seated));
    drop(seated);
    assert_eq!(seats.lock().seats.len(), 1, "the seat is the next one's");
}

#[tokio::test(start_paused = true)]
async fn idle_is_counted_from_the_end_of_the_last_call() {
    let seats = Seats::new(8, 8);
    let seated = seats.arrive().sit().expect("a seat");
    let begun = Instant::now();
    let calls = (seated.seat.open_call(true), seated.seat.open_call(true));
    let end = async {
        tokio::time::sleep(7 * SECOND).await;
        drop(calls.0);
        tokio::time::sleep(7 * SECOND).await;
        drop(calls.1);
    };
    tokio::join!(seated.seat.idle_for(10 * SECOND), end);
    assert_eq!(begun.elapsed(), 24 * SECOND);
}

#[tokio::test]
async fn whoever_lost_its_seat_or_left_is_not_asked_for_it_again() {
    let seats = Seats::new(8, 1);
    let put_out = seats.arrive().sit().expect("a seat");
    let seated = seats.arrive().sit().expect("the seat of the first");
    assert!(is_out(&put_out));
    // Its last call ends when somebody else has the seat.
    drop(put_out.seat.open_call(true));
    assert_eq!(seats.lock().idle.len(), 1);
    drop(put_out);
    drop(seated);
    let taken = seats.lock();
    assert!(taken.seats.is_empty() && taken.idle.is_empty());
}
