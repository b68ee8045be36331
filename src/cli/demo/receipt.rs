//! What the demo shows at its end: the receipt, for people and for programs, and a command line to
//! try next.

use std::net::SocketAddr;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::super::client::reachable;
use super::super::failed::Failed;
use super::super::terminal::{self, Text};
use super::caller::order;
use super::picture::Picture;
use crate::proto;

/// What came of the call. The fields are those of `api.md` (The program), in that order; money is
/// text.
#[derive(Debug, Serialize)]
pub(super) struct Receipt {
    file: String,
    model: String,
    width: i32,
    height: i32,
    size_bytes: i64,
    sha256: String,
    media_type: String,
    usd_cost: String,
    credits: String,
    balance: String,
    endpoint: String,
    #[serde(skip)]
    model_name: String,
    #[serde(skip)]
    explanation: String,
}

/// The fields of the demo's call that are worth typing.
#[derive(Serialize)]
struct Body<'a> {
    agent_id: &'a str,
    prompt: &'a str,
}

/// A command line that makes the same picture again, with any gRPC client's favourite tool.
///
/// # Errors
/// If the call cannot be written as JSON.
pub(super) fn grpcurl(
    address: SocketAddr,
    key: &SecretString,
    prompt: &str,
) -> Result<String, Failed> {
    let proto::GenerateImageRequest {
        agent_id, prompt, ..
    } = order(prompt);
    let body = Body {
        agent_id: &agent_id,
        prompt: &prompt,
    };
    // The line is copied from a terminal: nothing in it may be shown as something else.
    let body = terminal::json_text(&body)?;
    let header = format!("authorization: Bearer {}", key.expose_secret());
    Ok(format!(
        "grpcurl -plaintext -H {} -d {} {} squados.images.v1.ImageService/GenerateImage",
        terminal::shell_word(&header),
        terminal::shell_word(&body),
        reachable(address),
    ))
}

// === impl Receipt ===

impl Receipt {
    /// The receipt of a picture that was saved to `file`.
    pub(super) fn new(picture: &Picture, file: &Path, address: SocketAddr) -> Self {
        let (image, generation) = (picture.image.clone(), &picture.generation);
        let charge = generation.charge.clone().unwrap_or_default();
        Self {
            file: file.display().to_string(),
            model: generation.model.clone(),
            width: image.width,
            height: image.height,
            size_bytes: image.size_bytes,
            sha256: image.sha256,
            media_type: image.media_type,
            usd_cost: charge.usd_cost,
            credits: charge.credits,
            balance: charge.balance_after,
            endpoint: reachable(address).to_string(),
            model_name: generation.model_name.clone(),
            explanation: charge.explanation,
        }
    }

    /// The receipt for people, and where to look further as long as it serves.
    pub(super) fn table(&self, http: Option<SocketAddr>) -> Text {
        let size_bytes = u64::try_from(self.size_bytes).unwrap_or_default();
        let size = format!(
            "{} × {} pixels, {}, {}",
            self.width,
            self.height,
            terminal::bytes(size_bytes),
            self.media_type
        );
        let mut rows = vec![
            ("Picture", self.file.clone()),
            ("Model", format!("{} ({})", self.model_name, self.model)),
            ("Size", size),
            ("SHA-256", self.sha256.clone()),
            ("Cost", format!("{} USD", self.usd_cost)),
            (
                "Charged",
                format!("{} credits ({})", self.credits, self.explanation),
            ),
            ("Balance", format!("{} credits", self.balance)),
        ];
        if let Some(http) = http {
            rows.push(("gRPC", self.endpoint.clone()));
            rows.push(("Metrics", format!("http://{}/metrics", reachable(http))));
        }
        terminal::table(&rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        let picture = Picture {
            bytes: vec![0; 3],
            image: proto::ImageFinished {
                sha256: "ba78".to_owned(),
                size_bytes: 831_897,
                width: 1024,
                height: 768,
                media_type: "image/png".to_owned(),
                ..proto::ImageFinished::default()
            },
            generation: proto::Generation {
                model: "black-forest-labs/flux.2-klein-4b".to_owned(),
                model_name: "Black Forest Labs: FLUX.2 Klein 4B".to_owned(),
                charge: Some(proto::Charge {
                    credits: "29.00".to_owned(),
                    usd_cost: "0.014".to_owned(),
                    balance_after: "9971.00".to_owned(),
                    explanation: "0.014 × 2000 + 1 = 29.00".to_owned(),
                    ..proto::Charge::default()
                }),
                ..proto::Generation::default()
            },
        };
        let address = "0.0.0.0:50051".parse().unwrap();
        Receipt::new(&picture, Path::new("fox.png"), address)
    }

    #[test]
    fn the_receipt_for_programs_has_exactly_the_promised_fields() {
        assert_eq!(
            serde_json::to_string(&receipt()).unwrap(),
            concat!(
                r#"{"file":"fox.png","model":"black-forest-labs/flux.2-klein-4b","#,
                r#""width":1024,"height":768,"size_bytes":831897,"sha256":"ba78","#,
                r#""media_type":"image/png","usd_cost":"0.014","credits":"29.00","#,
                r#""balance":"9971.00","endpoint":"127.0.0.1:50051"}"#
            )
        );
    }

    #[test]
    fn the_receipt_for_people_stands_in_two_columns() {
        let shown = |http| receipt().table(http).plain();
        let table = shown(Some("127.0.0.1:8080".parse().unwrap()));
        for line in [
            "Picture  fox.png",
            "Size     1024 × 768 pixels, 812.3 KiB, image/png",
            "Cost     0.014 USD",
            "Charged  29.00 credits (0.014 × 2000 + 1 = 29.00)",
            "Balance  9971.00 credits",
            "gRPC     127.0.0.1:50051",
            "Metrics  http://127.0.0.1:8080/metrics",
        ] {
            assert!(
                table.lines().any(|it| it == line),
                "{line} is not in\n{table}"
            );
        }
        let ended = shown(None);
        assert!(!ended.contains("127.0.0.1"), "an address is dead: {ended}");
    }

    #[test]
    fn the_command_line_survives_quotes_in_the_prompt() {
        let address = "127.0.0.1:50051".parse().unwrap();
        let line = grpcurl(address, &"sq_live_x".into(), "it's a \"fox\" \u{200d}").unwrap();
        assert!(!line.contains('\u{200d}'), "{line}");
        let arguments = std::process::Command::new("sh")
            .args([
                "-c",
                &format!("grpcurl() {{ printf '%s\\n' \"$@\"; }}; {line}"),
            ])
            .output()
            .unwrap();
        let arguments = String::from_utf8(arguments.stdout).unwrap();
        let arguments: Vec<_> = arguments.lines().collect();
        let [plaintext, _, header, _, body, at, method] = arguments[..] else {
            panic!("{arguments:?}");
        };
        assert_eq!((plaintext, at), ("-plaintext", "127.0.0.1:50051"));
        assert_eq!(header, "authorization: Bearer sq_live_x");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["prompt"], "it's a \"fox\" \u{200d}");
        assert!(!line.contains('\u{200d}'), "{line}");
        assert_eq!(body["agent_id"], "demo-agent");
        assert_eq!(method, "squados.images.v1.ImageService/GenerateImage");
    }
}
