use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;
use crate::transport::conduct::CallEnd;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    on_stream(0, kind, flags, payload)
}

fn on_stream(stream: u32, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Heads of so many calls.
fn heads(count: u32) -> Vec<u8> {
    let streams = (0..count).map(|turn| turn * 2 + 1);
    streams
        .flat_map(|stream| on_stream(stream, HEADERS, 4, &[7; 20]))
        .collect()
}

/// Sends these bytes through a meter and reads them as far as it lets them through.
async fn read(bytes: Vec<u8>) -> (io::Result<Vec<u8>>, Conduct) {
    let (peer, io) = tokio::io::duplex(1 << 20);
    let metered = Metered::new(io, PREFACE);
    read_with(metered, peer, bytes).await
}

/// The same with a meter that knows something already.
async fn read_with(
    mut metered: Metered<DuplexStream>,
    mut peer: DuplexStream,
    bytes: Vec<u8>,
) -> (io::Result<Vec<u8>>, Conduct) {
    let mut got = Vec::new();
    let send = async move {
        // It may be cut off before everything is sent.
        let _ = peer.write_all(&bytes).await;
    };
    let conduct = metered.conduct();
    let receive = async {
        let read = metered.read_to_end(&mut got).await;
        drop(metered);
        read
    };
    let (_, read) = tokio::join!(send, receive);
    (read.map(|_| got), conduct)
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_let_through_and_more_is_a_flood() {
    for kind in [2, 3, 4, PING, 8, 77] {
        let burst = frame(kind, 0, &[0; 8]).repeat(1000);
        let (got, conduct) = read(burst.clone()).await;
        assert_eq!(got.unwrap(), [PREFACE, &burst].concat(), "kind {kind}");
        assert!(!conduct.is_flood());
        let (got, conduct) = read([burst, frame(kind, 0, &[0; 8])].concat()).await;
        assert!(got.is_err() && conduct.is_flood(), "kind {kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_and_their_data_are_free_and_answers_to_no_question_are_dear() {
    for kind in [DATA, CONTINUATION] {
        let (got, _) = read(frame(kind, 0, &[7; 20]).repeat(5000)).await;
        assert!(got.is_ok(), "kind {kind}");
    }
    let (peer, io) = tokio::io::duplex(1 << 20);
    let metered = Metered::new(io, PREFACE);
    (0..5000).for_each(|_| metered.conduct().call_taken());
    assert!(read_with(metered, peer, heads(5000)).await.0.is_ok());
    let pongs = frame(PING, ACK, &[0; 8]);
    assert!(read(pongs.repeat(20)).await.0.is_ok());
    assert!(read(pongs.repeat(21)).await.0.is_err());
}

#[tokio::test(start_paused = true)]
async fn heads_that_never_become_calls_are_a_flood() {
    // A hundred may be open, twenty more may have been reset before they were looked at, and what
    // is beyond was refused: twenty times fifty is a burst.
    assert!(read(heads(100 + 20 + 20)).await.0.is_ok());
    let (got, conduct) = read(heads(100 + 20 + 21)).await;
    assert!(got.is_err() && conduct.is_flood());
    // The same stream again is trailers.
    let head = on_stream(1, HEADERS, 4, &[7; 20]);
    assert!(read(head.repeat(1 + 200)).await.0.is_ok());
    assert!(read(head.repeat(1 + 201)).await.0.is_err());
}

#[tokio::test(start_paused = true)]
async fn calls_in_vain_are_paid_for_with_what_comes_next() {
    use CallEnd::{GivenUp, OfNobody, OfStranger, PutOff, Refused, Served};
    let cases = [
        (vec![(GivenUp, 333)], true),
        (vec![(GivenUp, 334)], false),
        (vec![(Served, 1), (OfNobody, 200)], true),
        (vec![(Served, 1), (OfNobody, 201)], false),
        (vec![(Refused, 5000), (PutOff, 5000)], true),
        (vec![(OfStranger, 200)], true),
        (vec![(OfStranger, 201)], false),
        (vec![(Served, 1), (OfNobody, 200), (GivenUp, 1)], false),
    ];
    for (ends, let_through) in cases {
        let (peer, io) = tokio::io::duplex(1 << 20);
        let metered = Metered::new(io, PREFACE);
        for (end, count) in &ends {
            (0..*count).for_each(|_| metered.conduct().call_ended(*end));
        }
        let (got, conduct) = read_with(metered, peer, frame(DATA, 0, &[7])).await;
        assert_eq!(got.is_ok(), let_through, "{ends:?}");
        assert_eq!(conduct.is_flood(), !let_through, "{ends:?}");
    }
    // Good calls pay for as many bad ones, whenever they come.
    let (mut peer, io) = tokio::io::duplex(1 << 20);
    let mut metered = Metered::new(io, PREFACE);
    let data = frame(DATA, 0, &[7]);
    let mut got = vec![0; PREFACE.len()];
    metered.read_exact(&mut got).await.unwrap();
    for _ in 0..500 {
        metered.conduct().call_ended(OfNobody);
        metered.conduct().call_ended(Served);
        peer.write_all(&data).await.unwrap();
        metered.read_exact(&mut got[..data.len()]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_how_it_is_every_second_never_pays_and_who_asks_without_end_is_put_out() {
    let data = frame(DATA, 0, &[7]);
    let ask = async |bursts: u64, calls: usize, pause: Duration| {
        let (mut peer, io) = tokio::io::duplex(1 << 20);
        let mut metered = Metered::new(io, PREFACE);
        let mut got = vec![0; PREFACE.len()];
        metered.read_exact(&mut got).await.unwrap();
        for burst in 0..bursts {
            (0..calls).for_each(|_| metered.conduct().call_ended(CallEnd::OfStranger));
            peer.write_all(&data).await.unwrap();
            if metered.read_exact(&mut got[..data.len()]).await.is_err() {
                return Some(burst);
            }
            tokio::time::sleep(pause).await;
        }
        None
    };
    assert_eq!(ask(3600, 1, Duration::from_secs(1)).await, None);
    assert_eq!(ask(100, 100, Duration::from_secs(3)).await, None);
    let put_out = ask(10_000, 1, Duration::from_millis(1)).await;
    assert!(put_out.is_some_and(|after| after < 250), "{put_out:?}");
}

#[tokio::test(start_paused = true)]
async fn time_and_what_was_sent_to_the_peer_pay_for_frames() {
    let begun = Instant::now();
    let mut allowance = Allowance::new(begun);
    assert!((0..BURST).all(|_| allowance.spend(1, begun)));
    assert!(!allowance.spend(1, begun));
    allowance.sent(3 * 1024 + 1000);
    assert!((0..3).all(|_| allowance.spend(1, begun)));
    assert!(!allowance.spend(1, begun));
    allowance.sent(24);
    assert!(allowance.spend(1, begun), "what was left over counts");
    // 7 ms are one frame and two fifths.
    let mut now = begun;
    let mut spent = 0;
    for _ in 0..1000 {
        now += Duration::from_millis(7);
        while allowance.spend(1, now) {
            spent += 1;
        }
    }
    assert_eq!(spent, 7 * PER_SECOND);
    now += Duration::from_secs(3600);
    allowance.sent(usize::MAX);
    let burst = (0..).take_while(|_| allowance.spend(1, now)).count();
    assert_eq!(burst as u64, BURST, "nothing is saved up beyond a burst");
}

proptest! {
    /// However the bytes are cut, the frames are the same.
    #[test]
    fn heads_are_found_wherever_the_bytes_are_cut(
        frames in prop::collection::vec((0u8..12, any::<u8>(), 0u32..1 << 31, 0usize..70), 0..20),
        cut in 1usize..40,
    ) {
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|(kind, flags, stream, length)| {
                on_stream(*stream, *kind, *flags, &vec![0xff; *length])
            })
            .collect();
        let mut found = Vec::new();
        let mut reader = Frames::default();
        for piece in bytes.chunks(cut) {
            reader.read(piece, |frame| found.push((frame.kind, frame.flags, frame.stream)));
        }
        let sent: Vec<_> = frames
            .iter()
            .map(|(kind, flags, stream, _)| (*kind, *flags, *stream))
            .collect();
        prop_assert_eq!(found, sent);
    }
}
