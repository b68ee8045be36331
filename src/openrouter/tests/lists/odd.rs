//! Odd values within answers that are lists: what is odd is absent, and nothing is guessed.

use super::*;

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text")
}

async fn listed(models: &str) -> Vec<Listed> {
    let upstream = Upstream::with("models", models).await;
    upstream.list().await.expect("a list")
}

#[tokio::test]
async fn prices_keep_every_digit_whether_they_are_numbers_or_texts() {
    let long = "0.".to_owned() + &"1".repeat(62);
    let longer = format!("{long}1");
    for (written, price) in [
        ("0.04", "0.04"),
        ("\"0.04\"", "0.04"),
        ("4e-2", "4e-2"),
        ("\"2.5E-06\"", "2.5E-06"),
        ("0.000009580838323353290", "0.000009580838323353290"),
        ("-1", "-1"),
        ("\"-1\"", "-1"),
        ("0", "0"),
        ("1e400", "1e400"),
        ("\"free\"", "free"),
        ("\"0.04\\n\"", ""),
        ("true", ""),
        ("null", ""),
        ("[0.04]", ""),
        ("{\"usd\":1}", ""),
        ("\"\\ud800\"", ""),
        (&long, &long),
        (&longer, ""),
        (&quoted(&longer), ""),
    ] {
        let endpoints = ENDPOINTS.replace("0.04", written);
        let upstream = Upstream::with(DRAWS, &endpoints).await;
        let list = upstream.list().await.expect(written);
        assert_eq!(lines(&list, "b/draws")[0].usd, price, "{written}");
        let list = listed(&MODELS.replace("\"0.00003\"", written)).await;
        assert_eq!(find(&list, "a/text").prices.prompt, price, "{written}");
    }
}

#[tokio::test]
async fn units_that_nobody_knows_are_kept() {
    let endpoints = r#"{"endpoints":[{"provider_slug":"acme","pricing":[
        {"billable":"output_hologram","unit":"cubic_inch","variant":"8k","cost_usd":9e-9},
        {"billable":7,"cost_usd":"0.5"}, "no line", null, ["output_image"]]},
        "no endpoint", {"provider_slug":null,"pricing":{"unit":"image"}},
        {"provider_slug":"other","pricing":[{"unit":"image"}]}]}"#;
    let upstream = Upstream::with(DRAWS, endpoints).await;
    let list = upstream.list().await.expect("a list");
    let told: Vec<_> = lines(&list, "b/draws")
        .iter()
        .map(|line| {
            let PriceLine {
                provider,
                billable,
                unit,
                variant,
                usd,
                last_good,
            } = line;
            assert_eq!(last_good, "", "nothing is remembered here");
            [provider, billable, unit, variant, usd].map(String::as_str)
        })
        .collect();
    assert_eq!(
        told,
        [
            ["acme", "output_hologram", "cubic_inch", "8k", "9e-9"],
            ["acme", "", "", "", "0.5"],
            ["other", "", "image", "", ""],
        ]
    );
}

#[tokio::test]
async fn of_a_model_that_is_there_twice_the_later_one_stays() {
    let models = MODELS.replace(
        "\"0.00000958083832335329\"}}]}",
        "\"1\"}},{\"id\":\"a/text\",\"name\":\"Later\"}]}",
    );
    let list = listed(&models).await;
    assert_eq!(slugs(&list), ["a/text", "b/draws"]);
    assert_eq!(find(&list, "a/text").name, "Later");
    let twice = IMAGE_MODELS.replace(
        "[{\"id\"",
        r#"[{"id":"b/draws","supported_parameters":{"n":{"max":9}}},{"id""#,
    );
    let upstream = Upstream::with("images/models", &twice).await;
    let list = upstream.list().await.expect("a list");
    let offer = find(&list, "b/draws").offer.as_ref().expect("an offer");
    assert_eq!(offer.images_per_call, Some(4));
    assert_eq!(upstream.count(DRAWS), 1);
}

#[tokio::test]
async fn what_is_no_model_is_passed_over() {
    let models = MODELS.replace(
        "[\n",
        r#"[null,7,"a/b",["a/c"],{},{"id":null},{"id":7},{"id":""},{"id":"a b"},
           {"id":"~typesafe/latest"},{"name":"no id"},{"id":"a/d","id":"a/e"},
        "#,
    );
    assert_ne!(models, MODELS);
    assert_eq!(slugs(&listed(&models).await), ["a/text", "b/draws"]);
}

#[tokio::test]
async fn fields_of_other_types_are_absent_and_the_rest_is_read() {
    let models = r#"{"data":[{"id":"a/odd","name":["x"],"context_length":"8192","pricing":"0.1",
        "architecture":{"input_modalities":"text","output_modalities":[1,"image",null,{}]}},
        {"id":"a/float","name":null,"context_length":8192.5,"architecture":[]},
        {"id":"a/great","context_length":18446744073709551616,"pricing":{"prompt":1}},
        {"id":"a/minus","context_length":-1,"pricing":null}]}"#;
    let list = listed(models).await;
    let odd = find(&list, "a/odd");
    assert_eq!((&*odd.name, odd.context_tokens), ("", None));
    assert_eq!(
        (odd.inputs.len(), &*odd.outputs),
        (0, &["image".to_owned()][..])
    );
    assert_eq!(odd.prices, crate::domain::listing::ListedPrices::default());
    assert_eq!(find(&list, "a/great").prices.prompt, "1");
    for slug in ["a/float", "a/great", "a/minus"] {
        assert_eq!(find(&list, slug).context_tokens, None, "{slug}");
    }
}

#[tokio::test]
async fn parameters_are_those_of_the_model_and_else_of_its_first_endpoint() {
    for (parameters, images_per_call, seed) in [
        (
            r#"{"n":{"type":"range","min":1,"max":4},"seed":{"type":"boolean"}}"#,
            Some(4),
            true,
        ),
        (
            r#"{"n":{"type":"range","min":1},"seed":true}"#,
            Some(10),
            false,
        ),
        (
            r#"{"n":{"max":"4"},"quality":{"values":["low",7]}}"#,
            None,
            false,
        ),
        (
            r#"{"n":{"max":-4},"resolution":{"values":["1K"]}}"#,
            None,
            false,
        ),
        (r#"{"n":{"max":4294967296},"seed":{}}"#, None, true),
        ("{}", Some(10), false),
        ("null", Some(10), false),
        (r#"["n","seed"]"#, Some(10), false),
    ] {
        let start = IMAGE_MODELS.find("{\"n\"").expect("parameters");
        let image_models = format!("{}{parameters}}}]}}", &IMAGE_MODELS[..start]);
        let upstream = Upstream::with("images/models", &image_models).await;
        let list = upstream.list().await.expect(parameters);
        let offer = find(&list, "b/draws").offer.as_ref().expect(parameters);
        assert_eq!(offer.images_per_call, images_per_call, "{parameters}");
        assert_eq!(offer.seed, seed, "{parameters}");
        assert_eq!(offer.lines.len(), 1, "{parameters}");
    }
}

#[tokio::test]
async fn a_model_that_only_draws_through_images_is_listed_too() {
    let image_models = IMAGE_MODELS.replace("b/draws", "c/new");
    let upstream = Upstream::with("images/models", &image_models).await;
    let list = upstream.list().await.expect("a list");
    assert_eq!(slugs(&list), ["a/text", "b/draws", "c/new"]);
    assert_eq!(find(&list, "b/draws").offer, None);
    let new = find(&list, "c/new");
    assert_eq!((&*new.name, new.context_tokens), ("Draws", None));
    assert_eq!(new.outputs, ["image"]);
    // It has no endpoints: 404.
    let offer = new.offer.as_ref().expect("an offer");
    assert_eq!((offer.images_per_call, offer.lines.len()), (Some(4), 0));
}

#[tokio::test]
async fn what_neither_writes_nor_draws_is_left_out() {
    let model = |slug: &str, outputs: &str| {
        format!(r#"{{"id":"{slug}","architecture":{{"output_modalities":{outputs}}}}}"#)
    };
    let models = [
        model("a/embeds", r#"["embeddings"]"#),
        model("a/speaks", r#"["audio"]"#),
        model("a/both", r#"["audio","text"]"#),
        model("a/unsaid", "[]"),
    ];
    let list = listed(&format!(r#"{{"data":[{}]}}"#, models.join(","))).await;
    assert_eq!(slugs(&list), ["a/both", "a/unsaid", "b/draws"]);
}

#[tokio::test]
async fn names_are_on_one_line_and_cut() {
    let name = format!("Red\\u0000\\n\\u001b[31m{}", "é".repeat(300));
    let list = listed(&MODELS.replace("\"Text\"", &format!("\"{name}\""))).await;
    let shown = &find(&list, "a/text").name;
    assert!(shown.starts_with("Red   [31mé"), "{shown}");
    assert_eq!(shown.chars().count(), 200);
}

#[tokio::test]
async fn a_slug_that_would_lead_elsewhere_is_never_asked_for() {
    for slug in ["../..", "a/..", "./a", "a/b/c", "/a", "a/", "alone"] {
        let image_models = IMAGE_MODELS.replace("b/draws", slug);
        let upstream = Upstream::with("images/models", &image_models).await;
        let list = upstream.list().await.expect(slug);
        assert_eq!(lines(&list, slug), [], "{slug}");
        let asked = upstream.asked.lock().expect("no panic").len();
        assert_eq!(asked, 2, "{slug}");
    }
}
