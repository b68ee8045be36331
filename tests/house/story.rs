//! Everything one call tells, read in the order that the contract promises.

use std::collections::BTreeMap;

use image_gateway::proto;
use image_gateway::proto::generation_event::Event;
use tonic::{Status, Streaming};

/// Everything one call told.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) accepted: proto::Accepted,
    pub(crate) images: BTreeMap<i32, Vec<u8>>,
    pub(crate) finished: Vec<proto::ImageFinished>,
    pub(crate) completed: proto::Generation,
}

impl Story {
    /// Reads a stream to its end, and checks the order that the contract promises.
    pub(crate) async fn read(
        mut events: Streaming<proto::GenerationEvent>,
    ) -> Result<Self, Status> {
        let mut accepted = None;
        let mut images: BTreeMap<i32, Vec<u8>> = BTreeMap::new();
        let mut finished = Vec::new();
        let mut completed = None;
        while let Some(event) = events.message().await? {
            assert!(completed.is_none(), "an event after `completed`");
            match event.event.expect("an event") {
                Event::Accepted(first) => assert!(accepted.replace(first).is_none()),
                Event::Progress(_) => assert!(accepted.is_some()),
                Event::ImageStarted(started) => {
                    assert!(accepted.is_some());
                    assert!(images.insert(started.index, Vec::new()).is_none());
                }
                Event::ImageChunk(chunk) => {
                    assert!((1..=65_536).contains(&chunk.data.len()));
                    images
                        .get_mut(&chunk.index)
                        .expect("started")
                        .extend(chunk.data);
                }
                Event::ImageFinished(image) => {
                    assert_eq!(images[&image.index].len() as i64, image.size_bytes);
                    finished.push(image);
                }
                Event::Completed(last) => completed = Some(*last),
            }
        }
        Ok(Self {
            accepted: accepted.expect("`accepted` first"),
            images,
            finished,
            completed: completed.expect("`completed` last"),
        })
    }

    pub(crate) fn charge(&self) -> &proto::Charge {
        self.completed.charge.as_ref().expect("a charge")
    }
}
