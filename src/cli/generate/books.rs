//! What became of an order by the gateway's books: asked where an answer leaves it open, so that
//! nobody is told two things at once.

use std::time::Duration;

use tokio::time::timeout;

use crate::cli::client;
use crate::cli::failed::reason;
use crate::proto;
use crate::proto::get_generation_request::Which;
use crate::proto::image_service_client::ImageServiceClient;

/// Whoever waits has been told the failure already; the books have this long to say more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether an order is charged, and how to take it up, as one hint.
pub(super) async fn in_words(gateway: &client::Args, request_id: &str) -> String {
    let found = timeout(PATIENCE, find(gateway, request_id)).await;
    match found.ok().flatten() {
        Some(Some(generation)) => of(&generation),
        Some(None) => {
            "the gateway knows nothing of it: nothing was begun, and nothing is charged".to_owned()
        }
        None => format!(
            "the books cannot be asked whether it is charged; the same command with --request-id \
             {request_id} takes it up for the same charge"
        ),
    }
}

/// The generation as the books have it, or that they have none; none if they cannot be asked.
async fn find(gateway: &client::Args, request_id: &str) -> Option<Option<proto::Generation>> {
    let connection = gateway.connect().await.ok()?;
    let which = Some(Which::RequestId(request_id.to_owned()));
    let asked = proto::GetGenerationRequest { which };
    match ImageServiceClient::new(connection)
        .get_generation(asked)
        .await
    {
        Ok(found) => Some(Some(found.into_inner())),
        Err(status) => (reason(&status).as_deref() == Some("GENERATION_NOT_FOUND")).then_some(None),
    }
}

fn of(generation: &proto::Generation) -> String {
    use proto::{GenerationState as State, Stage};
    let again = format!(
        "the same command with --request-id {} takes it up for the same charge",
        generation.request_id
    );
    match (generation.state(), generation.stage()) {
        (State::Failed, _) => "the books have ended it without a picture, and nothing is charged; \
                               the same command begins anew"
            .to_owned(),
        (State::Cancelled, _) => {
            "it was taken back before anything was sent, and nothing is charged".to_owned()
        }
        (_, Stage::InDoubt | Stage::Review) => {
            "no picture came: nothing will be charged, and the hold is released soon".to_owned()
        }
        (State::Succeeded, _) => match &generation.charge {
            Some(charge) if !charge.pending => {
                let credits = &charge.credits;
                format!("its pictures are kept and {credits} credits are charged; {again}")
            }
            _ => format!("its pictures are kept and will be charged; {again}"),
        },
        (State::Unspecified | State::Pending | State::Running, _) => {
            format!("the generation goes on and its pictures are charged; {again}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Charge, Generation, GenerationState, Stage};

    #[test]
    fn every_state_of_the_books_says_whether_it_is_charged() {
        let charged = Generation {
            charge: Some(Charge {
                credits: "29.00".to_owned(),
                ..Charge::default()
            }),
            ..Generation::default()
        };
        for (state, stage, words) in [
            (GenerationState::Failed, Stage::Voided, "nothing is charged"),
            (
                GenerationState::Cancelled,
                Stage::Voided,
                "nothing is charged",
            ),
            (
                GenerationState::Running,
                Stage::InDoubt,
                "nothing will be charged",
            ),
            (GenerationState::Running, Stage::Streaming, "goes on"),
            (
                GenerationState::Succeeded,
                Stage::Settled,
                "29.00 credits are charged",
            ),
        ] {
            let said = of(&Generation {
                state: state.into(),
                stage: stage.into(),
                ..charged.clone()
            });
            assert!(said.contains(words), "{state:?}: {said}");
        }
    }
}
