//! Pages of every list: no message is too large, and no token is good for more than its question.

use image_gateway::proto;
use tonic::Status;

use crate::helpers::{House, KLEIN, reason, request};

/// What a client reads unless it is told otherwise.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

async fn generations(
    house: &House,
    key: &str,
    asked: proto::ListGenerationsRequest,
) -> Result<proto::ListGenerationsResponse, Status> {
    let mut images = house.images(key);
    Ok(images.list_generations(asked).await?.into_inner())
}

async fn models(
    house: &House,
    key: &str,
    asked: proto::ListModelsRequest,
) -> Result<proto::ListModelsResponse, Status> {
    Ok(house.models(key).list_models(asked).await?.into_inner())
}

async fn entries(
    house: &House,
    key: &str,
    asked: proto::ListLedgerEntriesRequest,
) -> Result<proto::ListLedgerEntriesResponse, Status> {
    let mut billing = house.billing(key);
    Ok(billing.list_ledger_entries(asked).await?.into_inner())
}

/// Another organization, as its owner.
async fn stranger(house: &House) -> String {
    house.add_organization("other").await;
    house.top_up("other", "1", "first").await;
    house.top_up("other", "1", "second").await;
    house.key("other", proto::Role::Owner).await
}

#[tokio::test]
async fn the_longest_prompts_make_shorter_pages_instead_of_a_message_that_nobody_reads() {
    use prost::Message;
    let house = House::open().await;
    let count = 36;
    for n in 0..count {
        let asked = proto::GenerateImageRequest {
            prompt: "🦊".repeat(32_000),
            ..request(&format!("long-{n:02}"))
        };
        house.generate(asked).await.expect("a picture");
    }
    let (mut seen, mut pages, mut page_token) = (Vec::new(), 0, String::new());
    loop {
        let asked = proto::ListGenerationsRequest {
            page_token,
            ..Default::default()
        };
        // The client has the limit that every client has.
        let page = generations(&house, &house.runtime, asked).await;
        let page = page.expect("a page that can be read");
        assert!(page.encoded_len() < MESSAGE_BYTES_MAX);
        pages += 1;
        seen.extend(page.generations.into_iter().map(|one| one.request_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let newest_first = (0..count).rev().map(|n| format!("long-{n:02}"));
    assert_eq!(seen, newest_first.collect::<Vec<_>>());
    assert_eq!(pages, 2);
    house.close().await;
}

#[tokio::test]
async fn a_page_that_was_begun_with_one_key_goes_on_with_another_of_the_organization_alone() {
    let house = House::open().await;
    let stranger = stranger(&house).await;
    house.top_up("acme", "1", "second").await;
    for id in ["a", "b"] {
        house.generate(request(id)).await.expect("a picture");
    }
    let of_generations = |page_token: &str| proto::ListGenerationsRequest {
        page_size: 1,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let first = generations(&house, &house.runtime, of_generations("")).await;
    let token = first.expect("a page").next_page_token;
    let next = generations(&house, &house.owner, of_generations(&token)).await;
    assert_eq!(next.expect("a page").generations[0].request_id, "a");
    let refused = generations(&house, &stranger, of_generations(&token)).await;
    assert_eq!(reason(&refused.expect_err("theirs")), "INVALID_REQUEST");

    let of_entries = |page_token: &str| proto::ListLedgerEntriesRequest {
        page_size: 1,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let first = entries(&house, &house.admin, of_entries("")).await;
    let token = first.expect("a page").next_page_token;
    let next = entries(&house, &house.owner, of_entries(&token)).await;
    assert_eq!(next.expect("a page").entries[0].sequence, 3);
    let refused = entries(&house, &stranger, of_entries(&token)).await;
    assert_eq!(reason(&refused.expect_err("theirs")), "INVALID_REQUEST");
    house.close().await;
}

#[tokio::test]
async fn a_model_that_is_switched_off_between_two_pages_moves_no_other() {
    let house = House::open().await;
    let available = |page_size, page_token: &str| proto::ListModelsRequest {
        available_only: true,
        page_size,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let all = models(&house, &house.admin, available(0, "")).await;
    let all: Vec<_> = all.expect("models").models;
    let slugs: Vec<&str> = all.iter().map(|model| model.slug.as_str()).collect();
    let first = models(&house, &house.admin, available(5, "")).await;
    let first = first.expect("a page");
    let shown = slugs.iter().position(|slug| *slug == KLEIN).expect("klein");
    assert!(shown < 5, "{slugs:?}");
    let off = proto::UpdateModelAvailabilityRequest {
        slug: KLEIN.to_owned(),
        ..Default::default()
    };
    let mut admin = house.models(&house.admin);
    admin.update_model_availability(off).await.expect("off");
    let second = available(5, &first.next_page_token);
    let second = models(&house, &house.admin, second).await.expect("a page");
    let second: Vec<&str> = second
        .models
        .iter()
        .map(|model| model.slug.as_str())
        .collect();
    assert_eq!(second, slugs[5..10]);
    for other in [
        proto::ListModelsRequest {
            available_only: false,
            ..available(5, &first.next_page_token)
        },
        proto::ListModelsRequest {
            capability: proto::Capability::GeneratesImages.into(),
            ..available(5, &first.next_page_token)
        },
        available(5, "after-5"),
    ] {
        let refused = models(&house, &house.admin, other).await;
        assert_eq!(reason(&refused.expect_err("refused")), "INVALID_REQUEST");
    }
    house.close().await;
}

#[tokio::test]
async fn a_foreign_generation_and_an_absent_one_have_the_same_empty_ledger() {
    let house = House::open().await;
    let stranger = stranger(&house).await;
    let story = house.generate(request("mine")).await.expect("a picture");
    for generation_id in [story.completed.id, uuid::Uuid::now_v7().to_string()] {
        let asked = proto::ListLedgerEntriesRequest {
            generation_id,
            ..Default::default()
        };
        let page = entries(&house, &stranger, asked).await.expect("a page");
        assert_eq!(page, proto::ListLedgerEntriesResponse::default());
    }
    let mine = proto::ListGenerationsRequest::default();
    let page = generations(&house, &stranger, mine).await.expect("a page");
    assert_eq!(page.generations, []);
    house.close().await;
}
