//! Base64 as it arrives: text in pieces of any size in, bytes out, at most three characters held.
//! The alphabet is the standard one (RFC 4648, section 4). White space, the URL alphabet and
//! characters after the padding are refused. Absent padding is taken where the length is possible:
//! a picture that was cut short there is found out when it is kept, and refusing a paid picture
//! for a missing `=` helps nobody.

use base64_simd::{STANDARD, STANDARD_NO_PAD};

/// Decodes one base64 text.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    held: [u8; 4],
    count: usize,
    /// Padding has come: the text is over.
    padded: bool,
}

/// The text is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a picture is not base64")]
pub(super) struct NotBase64;

/// The length of the base64 text of so many bytes, padding included.
pub(super) const fn encoded_length(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(3) * 4
}

/// The base64 text of these bytes, with padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode_to_string(bytes)
}

impl Decoder {
    /// Appends to `out` what `text` completes.
    ///
    /// # Errors
    /// [`NotBase64`]; `out` may then hold a part of it.
    pub(super) fn push(&mut self, mut text: &[u8], out: &mut Vec<u8>) -> Result<(), NotBase64> {
        if self.count > 0 {
            let (front, rest) = text.split_at(text.len().min(4 - self.count));
            self.held[self.count..self.count + front.len()].copy_from_slice(front);
            self.count += front.len();
            text = rest;
            if self.count < 4 {
                return Ok(());
            }
            self.count = 0;
            let quad = self.held;
            self.quads(&quad, out)?;
        }
        let (quads, rest) = text.split_at(text.len() / 4 * 4);
        self.quads(quads, out)?;
        self.held[..rest.len()].copy_from_slice(rest);
        self.count = rest.len();
        Ok(())
    }

    /// Ends the text and makes the decoder ready for another one.
    ///
    /// # Errors
    /// [`NotBase64`] if the length is impossible.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), NotBase64> {
        let Self {
            held,
            count,
            padded,
        } = std::mem::take(self);
        match count {
            0 => Ok(()),
            2 | 3 if !padded => STANDARD_NO_PAD
                .decode_append(&held[..count], out)
                .map_err(|_| NotBase64),
            _ => Err(NotBase64),
        }
    }

    fn quads(&mut self, quads: &[u8], out: &mut Vec<u8>) -> Result<(), NotBase64> {
        if quads.is_empty() {
            return Ok(());
        }
        if self.padded {
            return Err(NotBase64);
        }
        self.padded = quads.ends_with(b"=");
        STANDARD.decode_append(quads, out).map_err(|_| NotBase64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<Vec<u8>, NotBase64> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for piece in pieces {
            decoder.push(piece, &mut out)?;
            assert!(decoder.count < 4);
        }
        decoder.finish(&mut out)?;
        Ok(out)
    }

    #[test]
    fn what_is_not_standard_base64_is_refused_wherever_it_is_split() {
        let texts: [&[u8]; 13] = [
            b"A",
            b"AAAAA",
            b"AAA=AAAA",
            b"AA==AA==",
            b"AA=A",
            b"A===",
            b"====",
            b"=",
            b"AAAA=",
            b"AAAA\nAAAA",
            b"AA-_",
            b"<base64-encoded-image>",
            b"AAAA====",
        ];
        for text in texts {
            for at in 0..=text.len() {
                let (front, back) = text.split_at(at);
                let shown = String::from_utf8_lossy(text);
                assert_eq!(decode(&[front, back]), Err(NotBase64), "{shown} at {at}");
            }
        }
    }

    #[test]
    fn a_missing_end_of_the_last_byte_is_refused_but_missing_padding_is_not() {
        assert_eq!(decode(&[b"QQ"]), Ok(b"A".to_vec()));
        assert_eq!(decode(&[b"QUI"]), Ok(b"AB".to_vec()));
        // The bits beyond the last byte must be zero.
        assert_eq!(decode(&[b"QR=="]), Err(NotBase64));
    }

    #[test]
    fn the_decoder_is_fresh_after_a_text_has_ended() {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        decoder.push(b"QQ==", &mut out).expect("base64");
        decoder.finish(&mut out).expect("complete");
        decoder.push(b"QQ==", &mut out).expect("base64");
        decoder.finish(&mut out).expect("complete");
        assert_eq!(out, b"AA");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_come_back_however_their_text_is_split(
            bytes in proptest::collection::vec(0u8.., 0..600),
            cuts in proptest::collection::vec(0usize..801, 0..8),
        ) {
            let text = encode(&bytes);
            proptest::prop_assert_eq!(
                u64::try_from(text.len()).ok(),
                u64::try_from(bytes.len()).ok().map(encoded_length)
            );
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            proptest::prop_assert_eq!(decode(&pieces), Ok(bytes));
        }

        #[test]
        fn text_is_taken_exactly_when_the_whole_of_it_would_be(
            text in "[A-Da-d+/=]{0,12}",
            at in 0usize..13,
        ) {
            let text = text.as_bytes();
            let (front, back) = text.split_at(at.min(text.len()));
            let unpadded = !text.ends_with(b"=") && text.len() % 4 != 0;
            let whole = if unpadded { &STANDARD_NO_PAD } else { &STANDARD };
            let expected = whole.decode_to_vec(text).map_err(|_| NotBase64);
            proptest::prop_assert_eq!(decode(&[front, back]), expected);
        }
    }
}
