//! An upstream that has no image endpoints at all.

use super::*;
use crate::helpers::SEEDREAM;

#[tokio::test]
async fn an_upstream_without_image_endpoints_is_synced_at_once_and_drawn_with_by_chat() {
    let house = House::open().await;
    let not_found = json!({"error": {"code": 404, "message": "Not Found"}});
    let absent = Script::error(404, not_found);
    let absent = absent.for_path("/images/models").times(u32::MAX);
    house.mock.script(absent);
    let synced = sync(&house).await.expect("the first list");
    assert!(synced.models_added >= 12, "{synced:?}");
    house.tool(|tool| tool.model = SEEDREAM.to_owned()).await;
    let story = house.generate(request("r")).await.expect("a picture");
    let sent = house.mock.requests().pop().expect("a request");
    assert_eq!(sent.path, "/api/v1/chat/completions");
    assert_eq!(story.charge().credits, "81.00");
    // What has no image endpoints today may have them tomorrow.
    house.mock.clear_scripts();
    sync(&house).await.expect("a list");
    house.generate(request("again")).await.expect("a picture");
    let sent = house.mock.requests().pop().expect("a request");
    assert_eq!(sent.path, "/api/v1/images");
    house.close().await;
}
