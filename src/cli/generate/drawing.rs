//! One order, over as many connections as it takes, and what can be said of it at any moment: a
//! person who is told that something went wrong must also be told whether it is charged.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::{Code, Status, Streaming};

use super::books;
use super::files::Files;
use super::paper;
use crate::cli::client::{self, Connection};
use crate::cli::failed::{Failed, reason};
use crate::cli::terminal::Bar;
use crate::proto;
use crate::proto::generation_event::Event;
use crate::proto::image_service_client::ImageServiceClient;

/// The largest message: references are sent in one.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// A gateway gives a sign every 5 s while it works (`api.md`, `progress`); one that has given none
/// for three times as long is taken up over another connection.
const SILENCE: Duration = Duration::from_secs(15);

/// The first wait after a lost connection, doubled up to [`WAIT_MAX`].
const WAIT: Duration = Duration::from_millis(200);

/// The longest wait between tries.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// An order that is being followed.
pub(super) struct Drawing<'a> {
    gateway: &'a client::Args,
    request: proto::GenerateImageRequest,
    /// How long to go on without a sign.
    patience: Duration,
    files: Files,
    bar: Bar,
    standing: Standing,
    /// The wait before the next try.
    wait: Duration,
    /// When patience ends, unless a sign comes.
    give_up: Instant,
}

/// What is known of the order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    /// The gateway has not been asked, or has said that it knows nothing of it.
    Unsent,
    /// It was sent; whether it arrived is not known.
    Sent,
    /// The gateway has taken it.
    Accepted,
}

/// How one stream ended.
enum Ended {
    Completed(Box<proto::Generation>),
    /// The connection, not the generation.
    Lost(Status),
    /// The gateway does not know the request: it never arrived.
    Unknown,
    Refused(Status),
    /// This machine cannot keep the picture.
    Unwritten(io::Error),
}

// === impl Drawing ===

impl<'a> Drawing<'a> {
    pub(super) fn new(
        gateway: &'a client::Args,
        request: proto::GenerateImageRequest,
        files: Files,
        patience: Duration,
    ) -> Self {
        Self {
            gateway,
            request,
            patience,
            files,
            bar: paper::progress(),
            standing: Standing::Unsent,
            wait: WAIT,
            // Where nothing has ever answered, there may be no gateway.
            give_up: Instant::now() + patience.min(SILENCE),
        }
    }

    /// Follows the order until it has ended.
    pub(super) async fn finish(&mut self) -> Result<proto::Generation, Failed> {
        loop {
            let connection = match self.gateway.connect().await {
                Ok(connection) => connection,
                // Nothing has been begun.
                Err(failed) if self.standing == Standing::Unsent => return Err(failed),
                Err(failed) if Instant::now() >= self.give_up => {
                    return Err(failed.hint(self.standing_in_words()));
                }
                Err(_) => {
                    self.pause().await;
                    continue;
                }
            };
            match self.attempt(connection).await {
                Ended::Completed(generation) => {
                    self.bar.end();
                    return Ok(*generation);
                }
                Ended::Unknown => self.standing = Standing::Unsent,
                Ended::Lost(status) if Instant::now() >= self.give_up => {
                    let lost = Failed::refused("the connection is lost", &status);
                    return Err(lost.hint(self.standing_in_words()));
                }
                Ended::Lost(_) => self.pause().await,
                Ended::Refused(status) => return Err(self.refused(&status).await),
                Ended::Unwritten(error) => {
                    let unwritten = Failed::new("cannot write the picture").because(error);
                    return Err(unwritten.hint(self.standing_in_words()));
                }
            }
        }
    }

    /// Gives every picture its name.
    pub(super) fn keep(self, generation: &proto::Generation) -> Result<Vec<String>, Failed> {
        let again = format!(
            "it is charged, and --request-id {} gives it once more for the same charge",
            self.request.request_id
        );
        self.files.keep(&generation.images, &again)
    }

    /// What to say to somebody who does not want to wait.
    pub(super) fn interrupted(&self) -> Failed {
        match self.standing {
            Standing::Unsent => Failed::new("interrupted before anything was asked for"),
            _ => Failed::new("interrupted").hint(self.standing_in_words()),
        }
    }

    /// What became of the order as far as can be known, and how to take it up.
    fn standing_in_words(&self) -> String {
        let id = &self.request.request_id;
        let what = match self.standing {
            Standing::Unsent => return "nothing was begun, and nothing is charged".to_owned(),
            Standing::Sent => {
                "is this the gateway's gRPC door (LISTEN_ADDR)? if the call arrived, it goes on and \
                 its pictures are charged"
            }
            Standing::Accepted => "the generation goes on and its pictures are charged",
        };
        format!("{what}; the same command with --request-id {id} takes it up for the same charge")
    }

    /// The gateway's own refusal. Two reasons leave open what became of the generation, which the books
    /// know, and one what became of an earlier call.
    async fn refused(&self, status: &Status) -> Failed {
        let failed = Failed::refused("cannot make the picture", status);
        match reason(status).as_deref() {
            Some("INTERNAL" | "DEADLINE_EXCEEDED") => {
                failed.hint(books::in_words(self.gateway, &self.request.request_id).await)
            }
            Some("STORAGE_UNAVAILABLE") => failed.hint(format!(
                "the same command with --request-id {} tries again; whatever was begun before is \
                 charged once",
                self.request.request_id
            )),
            _ => failed,
        }
    }

    async fn pause(&mut self) {
        self.bar.say("the connection is lost; taking up again");
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(WAIT_MAX);
    }

    /// One connection: the call itself, or what it still lacks.
    async fn attempt(&mut self, connection: Connection) -> Ended {
        let mut client =
            ImageServiceClient::new(connection).max_encoding_message_size(MESSAGE_BYTES_MAX);
        let begun = self.standing != Standing::Unsent;
        if !begun {
            self.files.forget();
            self.standing = Standing::Sent;
        }
        let (request, resume) = (self.request.clone(), self.files.offsets());
        let call = async {
            if begun {
                use proto::watch_generation_request::Which;
                let which = Some(Which::RequestId(request.request_id));
                let watch = proto::WatchGenerationRequest { which, resume };
                client.watch_generation(watch).await
            } else {
                client.generate_image(request).await
            }
        };
        match timeout(self.silence(), call).await {
            Ok(Ok(stream)) => self.follow(stream.into_inner()).await,
            Ok(Err(status)) => ended(status),
            Err(_) => self.silent(),
        }
    }

    async fn follow(&mut self, mut stream: Streaming<proto::GenerationEvent>) -> Ended {
        loop {
            let event = match timeout(self.silence(), stream.message()).await {
                Ok(Ok(Some(event))) => event.event,
                Ok(Ok(None)) => return Ended::Lost(Status::unavailable("the stream ended early")),
                Ok(Err(status)) => return ended(status),
                Err(_) => return self.silent(),
            };
            // A sign of life: patience begins anew.
            (self.wait, self.give_up) = (WAIT, Instant::now() + self.patience);
            self.standing = Standing::Accepted;
            let taken = match event {
                Some(Event::Completed(generation)) => return Ended::Completed(generation),
                Some(event) => self.take(event),
                None => Ok(()),
            };
            if let Err(error) = taken {
                return Ended::Unwritten(error);
            }
        }
    }

    /// Takes in what is not the end.
    fn take(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Accepted(accepted) => {
                let (model, hold) = (accepted.model, accepted.hold);
                self.bar.say(format!("{model} draws ({hold} credits held)"));
            }
            Event::Progress(progress) => self.bar.say(progress.text),
            Event::ImageStarted(started) => {
                let place = i64::from(started.index) + 1;
                self.bar.say(format!("picture {place} arrives"));
                self.files.begin(started.index)?;
            }
            Event::ImageChunk(chunk) => {
                self.bar.add(u64::try_from(chunk.data.len()).unwrap_or(0));
                self.files.write(chunk.index, &chunk.data)?;
            }
            Event::ImageFinished(_) => self.bar.say("the books are written"),
            Event::Completed(_) => {}
        }
        Ok(())
    }

    /// How long one answer is waited for.
    fn silence(&self) -> Duration {
        SILENCE.min(self.patience)
    }

    fn silent(&self) -> Ended {
        let seconds = self.silence().as_secs();
        Ended::Lost(Status::unavailable(format!(
            "the gateway gave no sign for {seconds} s"
        )))
    }
}

/// The gateway's own refusals carry a reason. What does not is the connection's, which a later one
/// may mend, or comes from something that is no gateway, which none will.
fn ended(status: Status) -> Ended {
    let of_the_connection = matches!(status.code(), Code::Unavailable | Code::Cancelled);
    match reason(&status).as_deref() {
        Some("GENERATION_NOT_FOUND") => Ended::Unknown,
        Some(_) => Ended::Refused(status),
        None if of_the_connection || status.source().is_some() => Ended::Lost(status),
        None => Ended::Refused(status),
    }
}
