//! What a process leaves behind while it works: of every secret it is given or makes, nothing, in
//! none of its outputs, answers, pages and files, however much it is told to log.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use image_gateway::config::MasterKey;
use image_gateway::mock::Script;
use image_gateway::proto;
use image_gateway::proto::reference_image::Source;
use serde_json::json;
use tonic::Status;

use super::{OPENROUTER_KEY, Served, serve};
use crate::certificates::{Authority, Files};
use crate::helpers::{House, OPERATOR_KEY, request};

const PROMPT: &str = "a heron of canary yellow";
/// An organization's own.
const OWN_KEY: &str = "sk-or-v1-canary-of-acme-0123456789abcdef";
const MASTER_KEY: &str = "c0ffee00c0ffee01c0ffee02c0ffee03c0ffee04c0ffee05c0ffee06c0ffee07";
/// Of the form of a key, but nobody's.
const UNKNOWN_KEY: &str = "sq_live_AAAAAAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// In the address of a reference: before its host, and behind it.
const USER_INFO: &str = "canary-of-the-user:canary-of-the-password";
const SIGNATURE: &str = "canary-of-a-signature";

/// What keys are hashed with, and own keys sealed, as the key of keys makes it.
const DERIVED: [&str; 2] = [
    "image-gateway api keys v1",
    "image-gateway key encryption v1",
];

/// A secret in every form in which it could be written.
struct Planted {
    what: String,
    forms: Vec<Vec<u8>>,
    /// The books keep it: prompts are what a generation is.
    is_kept: bool,
}

impl Planted {
    fn text(what: &str, text: &str) -> Self {
        Self {
            what: what.to_owned(),
            forms: vec![text.as_bytes().to_vec()],
            is_kept: false,
        }
    }

    fn bytes(what: &str, bytes: &[u8]) -> Self {
        let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a text");
            hex
        });
        let base64 = base64_simd::STANDARD.encode_to_string(bytes);
        let listed = format!("{bytes:?}");
        let texts = [hex.to_ascii_uppercase(), hex, base64, listed];
        let mut forms: Vec<Vec<u8>> = texts.map(String::into_bytes).to_vec();
        forms.push(bytes.to_vec());
        Self {
            what: what.to_owned(),
            forms,
            is_kept: false,
        }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        let mut forms = self.forms.iter();
        forms.any(|form| memchr::memmem::find(text, form).is_some())
    }
}

/// Every secret of this process.
fn planted(house: &House, tls_key: &str) -> Vec<Planted> {
    let mut planted = vec![
        Planted::text("the platform's OpenRouter key", OPENROUTER_KEY),
        Planted::text("the operator's key", OPERATOR_KEY),
        Planted::text("an organization's OpenRouter key", OWN_KEY),
        Planted::text("a stranger's key", UNKNOWN_KEY),
        Planted::text("a signature", SIGNATURE),
        Planted {
            is_kept: true,
            ..Planted::text("a prompt", PROMPT)
        },
    ];
    planted.extend(
        USER_INFO
            .split(':')
            .map(|word| Planted::text("user info", word)),
    );
    let keys = [&house.runtime, &house.admin];
    planted.extend(keys.map(|key| Planted::text("a key", key)));
    // Without its headers, which say nothing, and line by line.
    let lines = tls_key.lines().filter(|line| !line.starts_with("-----"));
    planted.extend(lines.map(|line| Planted::text("the key of the certificate", line)));
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("key-encryption-key"), MASTER_KEY).expect("a file");
    let key = MasterKey::open(folder.path()).expect("a key");
    let derived = DERIVED.map(|purpose| Planted::bytes(purpose, &key.derive(purpose)));
    planted.extend(derived);
    let bytes: Vec<u8> = (0..32)
        .map(|n| [0xc0, 0xff, 0xee, n / 4][usize::from(n % 4)])
        .collect();
    planted.push(Planted::bytes("the key of keys", &bytes));
    planted
}

fn order(request_id: &str) -> proto::GenerateImageRequest {
    proto::GenerateImageRequest {
        prompt: PROMPT.to_owned(),
        ..request(request_id)
    }
}

fn with_url(request_id: &str, url: String) -> proto::GenerateImageRequest {
    let reference = proto::ReferenceImage {
        source: Some(Source::Url(url)),
        media_type: String::new(),
    };
    proto::GenerateImageRequest {
        reference_images: vec![reference],
        ..order(request_id)
    }
}

/// One call of each kind: good, refused here, refused upstream with the key and the prompt in the
/// refusal, with references that are refused or fetched in vain, and by strangers. What was answered
/// to those that fail.
async fn work(house: &House) -> Vec<Status> {
    house.generate(order("good")).await.expect("a picture");
    let mut refused = Vec::new();
    let mut fails = async |asked| {
        let status = house.generate(asked).await;
        refused.push(status.expect_err("refused"));
    };
    let dear = proto::GenerateImageRequest {
        max_credits: "1.00".to_owned(),
        ..order("dear")
    };
    fails(dear).await;
    let echo = format!("cannot draw {PROMPT} with the key {OPENROUTER_KEY}");
    let body = json!({ "error": { "code": 400, "message": echo } });
    house.mock.script(Script::error(400, body));
    fails(order("echo")).await;
    house.mock.script(Script::bad_key(OPENROUTER_KEY));
    fails(order("key")).await;
    house.mock.clear_scripts();
    let inside = house.mock.base_url();
    for (n, url) in [
        format!("https://{USER_INFO}@example.com/a.png?{SIGNATURE}"),
        format!("https://127.0.0.1/a.png?signature={SIGNATURE}#{SIGNATURE}"),
        format!("https://no-such-name.invalid/a.png?signature={SIGNATURE}"),
        // Allowed, and no picture.
        format!("{inside}/images/models?signature={SIGNATURE}"),
        format!("{inside}/nothing?signature={SIGNATURE}"),
    ]
    .into_iter()
    .enumerate()
    {
        fails(with_url(&format!("url-{n}"), url)).await;
    }
    let set = house.set_openrouter_key(OPERATOR_KEY, OWN_KEY).await;
    set.expect("set");
    house.generate(order("own")).await.expect("a picture");
    let echo = format!("the key {OWN_KEY} is unknown");
    let body = json!({ "error": { "code": 401, "message": echo } });
    house.mock.script(Script::error(401, body).times(2));
    fails(order("own key")).await;
    house.mock.script(Script::bad_key(OWN_KEY));
    let set = house.set_openrouter_key(OPERATOR_KEY, OWN_KEY).await;
    refused.push(set.expect_err("refused"));
    for key in [UNKNOWN_KEY, "sq_live_short", "Basic"] {
        let mut images = house.images(key);
        let answer = images.generate_image(order("stranger")).await;
        refused.push(answer.expect_err("unknown"));
    }
    refused
}

/// All files of a folder, but for that of the key of keys, which has one if it was made here.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[tokio::test]
async fn no_secret_is_written_anywhere_however_much_is_logged() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let pair = authority.sign();
    let certificate = Files::new(folder.path(), &pair);
    let house = Served::empty(image_gateway::mock::Options::default()).await;
    let mock = house.mock.address().to_string();
    let mut settings = vec![
        ("RUST_LOG", "trace"),
        ("KEY_ENCRYPTION_KEY", MASTER_KEY),
        ("REFERENCE_URL_ALLOW", &mock),
    ];
    settings.extend(certificate.settings());
    let command = serve(&house, &settings);
    let mut served = Served::reach(house, command, Some(authority.trusted())).await;
    served.furnish().await;
    let refused = work(&served.house).await;
    let mut places = vec![("refusals".to_owned(), format!("{refused:?}").into_bytes())];
    for page in ["/metrics", "/healthz", "/readyz"] {
        places.push((page.to_owned(), served.page(page).await.1.into_bytes()));
    }
    let mut found = Vec::new();
    // Beside the running process: the write-ahead log is full of what was.
    files(served.house.dir.path(), &mut found);
    for file in &found {
        let name = file.display().to_string();
        places.push((name, fs::read(file).expect("a file")));
    }
    let planted = planted(&served.house, &pair.key);
    let (house, ended) = served.stop().await;
    assert_eq!(ended.status, Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("TRACE"), "nothing was traced");
    assert!(
        found
            .iter()
            .any(|file| file.ends_with("gateway.sqlite3-wal"))
    );
    places.push(("stdout".to_owned(), ended.stdout.into_bytes()));
    places.push(("stderr".to_owned(), ended.stderr.into_bytes()));
    let mut leaks = Vec::new();
    for (place, text) in &places {
        let is_a_file = place.starts_with('/') && place.contains("gateway.sqlite3");
        for secret in planted.iter().filter(|secret| secret.is_in(text)) {
            if !(secret.is_kept && is_a_file) {
                leaks.push(format!("{} is in {place}", secret.what));
            }
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
    // What is looked for is found where it is.
    let books = places.iter().find(|(place, _)| place.ends_with("-wal"));
    let prompt = planted.iter().find(|secret| secret.is_kept);
    assert!(prompt.expect("one").is_in(&books.expect("a log").1));
    house.mock.stop().await;
}
