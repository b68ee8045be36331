//! A picture as it comes: shown while it arrives, believed only when its bytes have the promised
//! hash and the gateway has said that all is stored and charged.

use std::path::Path;

use sha2::{Digest, Sha256};
use tonic::{Status, Streaming};

use super::super::destination;
use super::super::failed::{Failed, reason};
use super::progress::Progress;
use crate::proto;
use crate::proto::generation_event::Event;

/// The most characters of a prompt that name a file.
const NAME_CHARS_MAX: usize = 60;

/// A whole picture and what it cost.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) bytes: Vec<u8>,
    pub(super) image: proto::ImageFinished,
    pub(super) generation: proto::Generation,
}

/// What has come so far.
#[derive(Debug)]
struct Arriving {
    bytes: Vec<u8>,
    image: Option<proto::ImageFinished>,
    progress: Progress,
}

// === impl Picture ===

impl Picture {
    /// Follows a call to its end. One picture was ordered: further ones are left at the gateway.
    pub(super) async fn receive(
        mut events: Streaming<proto::GenerationEvent>,
    ) -> Result<Self, Failed> {
        let mut arriving = Arriving {
            bytes: Vec::new(),
            image: None,
            progress: Progress::begin(),
        };
        while let Some(message) = events
            .message()
            .await
            .map_err(|status| Self::refused(&status))?
        {
            if let Some(Event::Completed(generation)) = arriving.take(message) {
                return arriving.complete(*generation);
            }
        }
        Err(Failed::new("the gateway ended the call without a result"))
    }

    /// What to say when the gateway refuses.
    pub(super) fn refused(status: &Status) -> Failed {
        let failed = Failed::refused("cannot make the picture", status);
        match reason(status).as_deref() {
            // Here, the gateway is this very process.
            Some("UPSTREAM_UNAVAILABLE") => failed.hint(
                "check OPENROUTER_API_KEY and OPENROUTER_BASE_URL; the log on stderr says more",
            ),
            _ => failed,
        }
    }

    /// A name for its file: the prompt's words, and the ending of its format.
    pub(super) fn file_name(&self, prompt: &str) -> String {
        let ending = match self.image.media_type.as_str() {
            "image/jpeg" => "jpg",
            "image/webp" => "webp",
            _ => "png",
        };
        format!("{}.{ending}", slug(prompt))
    }

    /// Writes it to a file.
    pub(super) fn save(&self, path: &Path) -> Result<(), Failed> {
        destination::replace(path, &self.bytes).map_err(|error| {
            let id = &self.generation.id;
            Failed::new(format!("cannot write {}", path.display()))
                .because(error)
                .hint(format!(
                    "the picture is charged and kept as generation {id}: `image-gateway serve` on \
                     the same data folder gives it with ReadImage"
                ))
        })
    }
}

// === impl Arriving ===

impl Arriving {
    /// Takes in one event, and gives it back if it is the last.
    fn take(&mut self, message: proto::GenerationEvent) -> Option<Event> {
        match message.event? {
            Event::Accepted(accepted) => self.progress.accepted(&accepted),
            Event::Progress(_) => (),
            Event::ImageStarted(_) => self.progress.drawing_arrives(),
            Event::ImageChunk(chunk) if chunk.index == 0 => {
                self.bytes.extend_from_slice(&chunk.data);
                self.progress.received(self.bytes.len());
            }
            Event::ImageFinished(image) if image.index == 0 => {
                self.image = Some(image);
                self.progress.settling();
            }
            Event::ImageChunk(_) | Event::ImageFinished(_) => (),
            completed @ Event::Completed(_) => return Some(completed),
        }
        None
    }

    fn complete(self, generation: proto::Generation) -> Result<Picture, Failed> {
        self.progress.end();
        let image = self
            .image
            .ok_or_else(|| Failed::new("the gateway reported a result without a picture"))?;
        let sha256 = hex(&Sha256::digest(&self.bytes));
        if sha256 != image.sha256 {
            return Err(Failed::new(format!(
                "the picture was damaged on the way: its SHA-256 is {sha256}, not {}",
                image.sha256
            )));
        }
        Ok(Picture {
            bytes: self.bytes,
            image,
            generation,
        })
    }
}

/// The words of a prompt as the name of a file, safe on every system.
fn slug(prompt: &str) -> String {
    let mut name = String::new();
    for character in prompt.chars() {
        if name.chars().count() >= NAME_CHARS_MAX {
            break;
        }
        if character.is_alphanumeric() {
            name.extend(character.to_lowercase());
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    match name.trim_end_matches('-') {
        "" => "image".to_owned(),
        name => name.to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arriving(bytes: &[u8], sha256: &str) -> Arriving {
        Arriving {
            bytes: bytes.to_vec(),
            image: Some(proto::ImageFinished {
                sha256: sha256.to_owned(),
                ..proto::ImageFinished::default()
            }),
            progress: Progress::begin(),
        }
    }

    #[test]
    fn a_picture_whose_bytes_do_not_have_the_promised_hash_is_refused() {
        // SHA-256 of "abc" (FIPS 180-2, appendix B.1).
        let promised = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let generation = proto::Generation::default;
        assert!(arriving(b"abc", promised).complete(generation()).is_ok());
        let failed = arriving(b"abd", promised).complete(generation());
        let message = failed.unwrap_err().message;
        assert!(
            message.contains("damaged") && message.contains(promised),
            "{message}"
        );
    }

    #[test]
    fn a_file_is_named_after_the_prompt_whatever_is_in_it() {
        for (prompt, name) in [
            ("a red fox in the snow", "a-red-fox-in-the-snow"),
            ("  Ein Fuchs, im Schnee!  ", "ein-fuchs-im-schnee"),
            ("../../etc/passwd", "etc-passwd"),
            ("雪の狐", "雪の狐"),
            ("!!!", "image"),
        ] {
            assert_eq!(slug(prompt), name);
        }
        assert_eq!(slug(&"x".repeat(500)).len(), NAME_CHARS_MAX);
    }
}
