//! Which certificates may sign others: what rustls asks of those between a caller's and an authority,
//! and of no authority.

use rustls::pki_types::CertificateDer;

use super::der::{self, BOOLEAN, EXPLICIT_EXTENSIONS, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};

/// `id-ce-basicConstraints`, 2.5.29.19 (RFC 5280 section 4.2.1.9).
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];

/// Whether a certificate may sign others. One of version 3 has to say so (RFC 5280 section 4.2.1.9).
/// One of version 1 cannot: old roots are such, and whoever put one into the file vouches for it
/// (section 6.1.4 (k)). But it must have signed itself, because a caller's may be of version 1 too.
pub(super) fn has(certificate: &CertificateDer<'_>) -> bool {
    let read = der::signed(certificate).and_then(|(fields, is_versioned)| {
        if is_versioned {
            says_so(fields)
        } else {
            is_of_itself(fields)
        }
    });
    read.unwrap_or(false)
}

/// Whether its issuer is its subject.
fn is_of_itself(fields: &[u8]) -> Option<bool> {
    let fields = skip(fields, 2)?;
    let (_, issuer, fields) = der::next(fields)?;
    let fields = skip(fields, 1)?;
    let (_, subject, _) = der::next(fields)?;
    Some(issuer == subject)
}

/// Whether its basic constraints are those of an authority.
fn says_so(fields: &[u8]) -> Option<bool> {
    // Serial number, algorithm, issuer, validity, subject, key; then perhaps unique identifiers.
    let mut fields = skip(fields, 6)?;
    let extensions = loop {
        let (tag, content, rest) = der::next(fields)?;
        if tag == EXPLICIT_EXTENSIONS {
            break content;
        }
        fields = rest;
    };
    let (mut extensions, _) = der::read(extensions, SEQUENCE)?;
    loop {
        let (extension, rest) = der::read(extensions, SEQUENCE)?;
        let (name, value) = der::read(extension, OBJECT_IDENTIFIER)?;
        if name == BASIC_CONSTRAINTS {
            return is_authority(value);
        }
        extensions = rest;
    }
}

/// `critical`, which may be missing, and the constraints: `cA`, which is false if it is missing.
fn is_authority(value: &[u8]) -> Option<bool> {
    let value = der::read(value, BOOLEAN).map_or(value, |(_, rest)| rest);
    let (constraints, _) = der::read(value, OCTET_STRING)?;
    let (constraints, _) = der::read(constraints, SEQUENCE)?;
    let (authority, _) = der::read(constraints, BOOLEAN)?;
    Some(authority == [0xff])
}

/// What follows so many elements.
fn skip(fields: &[u8], count: usize) -> Option<&[u8]> {
    (0..count).try_fold(fields, |fields, _| {
        der::next(fields).map(|(_, _, rest)| rest)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::CertificateDer;

    use super::*;

    /// A certificate with these constraints, of itself or of somebody else.
    fn certificate(is_ca: IsCa, of_itself: bool) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        if of_itself {
            return params.self_signed(&key).unwrap().der().clone();
        }
        let mut other = CertificateParams::new(Vec::new()).unwrap();
        let name = rcgen::DnType::OrganizationName;
        other.distinguished_name.push(name, "somebody else");
        let issuer = Issuer::new(other, KeyPair::generate().unwrap());
        params.signed_by(&key, &issuer).unwrap().der().clone()
    }

    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        // In as few bytes as possible (X.690 section 10.1).
        let length: &[u8] = match (high, low) {
            (0, ..0x80) => &[low],
            (0, _) => &[0x81, low],
            _ => &[0x82, high, low],
        };
        [&[tag], length, &content].concat()
    }

    /// The same certificate as one of version 1: without a version and without extensions.
    fn first_version(certificate: &CertificateDer<'_>) -> CertificateDer<'static> {
        let (fields, _) = der::signed(certificate).unwrap();
        let rest = skip(fields, 6).unwrap();
        let fields = &fields[..fields.len() - rest.len()];
        let (whole, _) = der::read(certificate, SEQUENCE).unwrap();
        let signature = skip(whole, 1).unwrap();
        let signed = element(SEQUENCE, &[fields]);
        CertificateDer::from(element(SEQUENCE, &[&signed, signature]))
    }

    #[test]
    fn only_what_says_that_it_is_an_authority_may_sign() {
        let constraints = [
            BasicConstraints::Unconstrained,
            BasicConstraints::Constrained(0),
        ];
        for of_itself in [true, false] {
            for constraints in constraints {
                assert!(has(&certificate(IsCa::Ca(constraints), of_itself)));
            }
            assert!(!has(&certificate(IsCa::NoCa, of_itself)));
            assert!(!has(&certificate(IsCa::ExplicitNoCa, of_itself)));
        }
        assert!(!has(&CertificateDer::from(vec![0x30, 0])));
    }

    #[test]
    fn a_root_of_the_first_version_may_sign_and_what_another_signed_may_not() {
        let root = first_version(&certificate(IsCa::NoCa, true));
        rustls::RootCertStore::empty().add(root.clone()).unwrap();
        assert!(has(&root));
        assert!(!has(&first_version(&certificate(IsCa::NoCa, false))));
    }

    proptest! {
        #[test]
        fn no_change_of_a_certificate_breaks_the_reader(at in 0_usize..300, to in any::<u8>()) {
            let mut bytes = certificate(IsCa::Ca(BasicConstraints::Unconstrained), true).to_vec();
            let at = at % bytes.len();
            bytes[at] = to;
            let _ = has(&CertificateDer::from(bytes));
        }
    }
}
