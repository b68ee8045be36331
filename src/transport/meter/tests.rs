use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags, 0, 0, 0, 0]);
    frame.extend(payload);
    frame
}

/// Sends these bytes through a meter and reads them as far as it lets them through.
async fn read(bytes: Vec<u8>) -> (io::Result<Vec<u8>>, Flooded) {
    let (mut peer, io) = tokio::io::duplex(1 << 20);
    let mut metered = Metered::new(io, PREFACE);
    let mut got = Vec::new();
    let send = async move {
        // It may be cut off before everything is sent.
        let _ = peer.write_all(&bytes).await;
    };
    let flooded = metered.flooded();
    let receive = async {
        let read = metered.read_to_end(&mut got).await;
        drop(metered);
        read
    };
    let (_, read) = tokio::join!(send, receive);
    (read.map(|_| got), flooded)
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_let_through_and_more_is_a_flood() {
    for kind in [2, 3, 4, PING, 8, 77] {
        let burst = frame(kind, 0, &[0; 8]).repeat(1000);
        let (got, flooded) = read(burst.clone()).await;
        assert_eq!(got.unwrap(), [PREFACE, &burst].concat(), "kind {kind}");
        assert!(!flooded.is_true());
        let (got, flooded) = read([burst, frame(kind, 0, &[0; 8])].concat()).await;
        assert!(got.is_err() && flooded.is_true(), "kind {kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_and_their_data_are_free_and_answers_to_no_question_are_dear() {
    for kind in [DATA, HEADERS, CONTINUATION] {
        let (got, _) = read(frame(kind, 0, &[7; 20]).repeat(5000)).await;
        assert!(got.is_ok(), "kind {kind}");
    }
    let pongs = frame(PING, ACK, &[0; 8]);
    assert!(read(pongs.repeat(20)).await.0.is_ok());
    assert!(read(pongs.repeat(21)).await.0.is_err());
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
        frames in prop::collection::vec((0u8..12, any::<u8>(), 0usize..70), 0..20),
        cut in 1usize..40,
    ) {
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|(kind, flags, length)| frame(*kind, *flags, &vec![0xff; *length]))
            .collect();
        let mut found = Vec::new();
        let mut reader = Frames::default();
        for piece in bytes.chunks(cut) {
            reader.read(piece, |kind, flags| found.push((kind, flags)));
        }
        let sent: Vec<_> = frames.iter().map(|(kind, flags, _)| (*kind, *flags)).collect();
        prop_assert_eq!(found, sent);
    }
}
