//! Elements of ASN.1 as certificates have them (X.690), as far as they are read here.

/// Tags (X.690 section 8).
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const EXPLICIT_VERSION: u8 = 0xa0;
pub(super) const EXPLICIT_EXTENSIONS: u8 = 0xa3;

/// What is signed of a certificate (RFC 5280 section 4.1), behind its version: from the serial number
/// on; and whether it has a version. Without one it is of the first, which has no extensions.
pub(super) fn signed(certificate: &[u8]) -> Option<(&[u8], bool)> {
    let (certificate, _) = read(certificate, SEQUENCE)?;
    let (fields, _) = read(certificate, SEQUENCE)?;
    let versioned = read(fields, EXPLICIT_VERSION);
    Some(versioned.map_or((fields, false), |(_, rest)| (rest, true)))
}

/// The content of an element with this tag, and what follows it.
pub(super) fn read(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = next(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// The tag and the content of an element, and what follows it.
pub(super) fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        // Four bytes of length are more than any file here has.
        let count = usize::from(first & 0x7f);
        let digits = rest.get(..count).filter(|digits| digits.len() <= 4)?;
        let length = digits.iter().try_fold(0_usize, |sum, digit| {
            sum.checked_mul(256)?.checked_add(usize::from(*digit))
        })?;
        (length, rest.get(count..)?)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}
