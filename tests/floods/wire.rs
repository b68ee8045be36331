//! HTTP/2 by hand: what an attacker sends, no client would.

/// What every client says first, and settings of which none is another than usual.
pub(crate) const GREETING: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// The same, with the wish to be sent one byte of each answer and no more (RFC 9113 section 6.5.2:
/// `SETTINGS_INITIAL_WINDOW_SIZE`).
pub(crate) const GREETING_OF_THE_DEAF: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x01";

/// Kinds of frames (RFC 9113 section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags (RFC 9113 sections 6.1 and 6.2).
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A call that needs no key and waits for its request.
pub(crate) const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// A call that needs no key and lasts.
pub(crate) const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// A call that does not exist.
pub(crate) const NO_CALL: &str = "/squados.images.v1.BillingService/GetNothing";
/// A call with a long answer.
pub(crate) const MODELS: &str = "/squados.images.v1.ModelService/ListModels";
/// A call that needs a key.
pub(crate) const BALANCE: &str = "/squados.images.v1.BillingService/GetBalance";

/// One byte that names the newest entry of the table (RFC 7541 section 6.1): 61 are fixed.
const NEWEST: u8 = 0x80 | 62;

/// Bytes of the entry that heads are blown up with: the table has room for 4096, an entry counts 32
/// beside its name and value (RFC 7541 section 4.1).
const ENTRY_VALUE: usize = 4000;

/// How often a head names that entry: 15 times 4034 bytes is above the limit of 32 KiB, and below
/// what makes h2 end the connection by itself, four times that.
const TIMES: usize = 15;

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The head of a call as gRPC wants it.
pub(crate) fn head(path: &str, key: Option<&str>) -> Vec<u8> {
    // POST, http, and what follows by name: literals that enter no table (RFC 7541 section 6.2.2).
    let mut head = vec![0x83, 0x86, 0x04];
    text(&mut head, path);
    head.push(0x01);
    text(&mut head, "gateway");
    head.extend([0x0f, 31 - 15]);
    text(&mut head, "application/grpc");
    head.push(0x00);
    text(&mut head, "te");
    text(&mut head, "trailers");
    if let Some(key) = key {
        head.extend([0x0f, 23 - 15]);
        text(&mut head, &format!("Bearer {key}"));
    }
    head
}

/// A head that puts an entry into the table, for [`blown_up`].
pub(crate) fn first(path: &str) -> Vec<u8> {
    let mut head = head(path, None);
    head.push(0x40);
    text(&mut head, "xx");
    text(&mut head, &"x".repeat(ENTRY_VALUE));
    head
}

/// A head of some hundred bytes that says 60 KiB.
pub(crate) fn blown_up(path: &str) -> Vec<u8> {
    let mut head = head(path, None);
    head.extend([NEWEST; TIMES]);
    head
}

/// A head that says as much, and has its method twice.
pub(crate) fn malformed(path: &str) -> Vec<u8> {
    let mut head = blown_up(path);
    head.push(0x83);
    head
}

/// A literal without Huffman's code (RFC 7541 section 5.2).
fn text(to: &mut Vec<u8>, text: &str) {
    let mut left = text.len();
    if left < 127 {
        to.push(u8::try_from(left).unwrap());
    } else {
        // Integers of seven bits and more (RFC 7541 section 5.1).
        to.push(127);
        left -= 127;
        while left >= 128 {
            to.push(u8::try_from(left % 128).unwrap() | 128);
            left /= 128;
        }
        to.push(u8::try_from(left).unwrap());
    }
    to.extend(text.as_bytes());
}
