//! What the contract says that errors tell beside their words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorSet;
use tonic_types::ErrorInfo;

/// Metadata of errors by the reason that has it, and beneath "" what any may have.
pub(crate) static NAMED: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(named);

/// Everything between backticks in what a comment says of metadata.
fn named() -> BTreeMap<String, BTreeSet<String>> {
    let set = FileDescriptorSet::decode(image_gateway::proto::DESCRIPTORS).expect("a set");
    let mut files = set.file.iter();
    let file = files
        .find(|file| file.name().ends_with("v1/errors.proto"))
        .expect("the errors");
    let source = file.source_code_info.as_ref().expect("comments");
    let mut named = BTreeMap::new();
    for location in &source.location {
        let reason = match location.path[..] {
            [5, 0] => "",
            [5, 0, 2, at] => {
                let at = usize::try_from(at).expect("a place");
                let name = file.enum_type[0].value[at].name();
                name.strip_prefix("ERROR_REASON_").expect("a reason")
            }
            _ => continue,
        };
        let comment = location.leading_comments();
        let (_, metadata) = comment.rsplit_once("Metadata").unwrap_or_default();
        let words = metadata.split('`').skip(1).step_by(2);
        let words = words.filter(|word| !word.starts_with("google.rpc."));
        named.insert(reason.to_owned(), words.map(str::to_owned).collect());
    }
    named
}

/// Fails if an error has a key that the contract does not name with its reason.
pub(crate) fn assert_named(info: &ErrorInfo) {
    let of_all = &NAMED[""];
    let own = &NAMED[&info.reason];
    for key in info.metadata.keys() {
        let is_named = own.contains(key) || of_all.contains(key);
        assert!(is_named, "errors.proto does not name {key} in {info:?}");
    }
}
