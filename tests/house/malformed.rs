//! Malformed requests: the field at fault is named, and nothing is moved.

use image_gateway::proto;
use tonic::Code;
use tonic_types::StatusExt;

use crate::helpers::{House, OPERATOR_KEY, detail, reason, request};

type Asked = proto::GenerateImageRequest;

#[tokio::test]
async fn a_malformed_request_names_its_field() {
    let house = House::open().await;
    let cases: Vec<(&str, Asked)> = vec![
        (
            "prompt",
            Asked {
                prompt: "  \n ".to_owned(),
                ..request("r")
            },
        ),
        (
            "prompt",
            Asked {
                prompt: "x".repeat(32_001),
                ..request("r")
            },
        ),
        (
            "agent_id",
            Asked {
                agent_id: String::new(),
                ..request("r")
            },
        ),
        (
            "agent_id",
            Asked {
                agent_id: "x".repeat(129),
                ..request("r")
            },
        ),
        (
            "request_id",
            Asked {
                request_id: "x".repeat(256),
                ..request("r")
            },
        ),
        (
            "aspect_ratio",
            Asked {
                aspect_ratio: "abc".to_owned(),
                ..request("r")
            },
        ),
        (
            "aspect_ratio",
            Asked {
                aspect_ratio: "0:1".to_owned(),
                ..request("r")
            },
        ),
        (
            "resolution",
            Asked {
                resolution: "3K".to_owned(),
                ..request("r")
            },
        ),
        (
            "count",
            Asked {
                count: -1,
                ..request("r")
            },
        ),
        (
            "count",
            Asked {
                count: 5,
                ..request("r")
            },
        ),
        (
            "output_format",
            Asked {
                output_format: "svg".to_owned(),
                ..request("r")
            },
        ),
        (
            "background",
            Asked {
                background: "pink".to_owned(),
                ..request("r")
            },
        ),
        (
            "max_credits",
            Asked {
                max_credits: "1.234".to_owned(),
                ..request("r")
            },
        ),
        (
            "max_credits",
            Asked {
                max_credits: "many".to_owned(),
                ..request("r")
            },
        ),
        (
            "channel",
            Asked {
                channel: 99,
                ..request("r")
            },
        ),
        (
            "origin",
            Asked {
                origin: -1,
                ..request("r")
            },
        ),
        (
            "conversation_id",
            Asked {
                conversation_id: "x".repeat(256),
                ..request("r")
            },
        ),
        (
            "metadata",
            Asked {
                metadata: (0..17).map(|n| (n.to_string(), String::new())).collect(),
                ..request("r")
            },
        ),
        (
            "metadata",
            Asked {
                metadata: [("x".repeat(65), String::new())].into(),
                ..request("r")
            },
        ),
        (
            "metadata",
            Asked {
                metadata: [(String::new(), "x".repeat(513))].into(),
                ..request("r")
            },
        ),
    ];
    for (field, asked) in cases {
        let status = house.generate(asked).await.expect_err(field);
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(reason(&status), "INVALID_REQUEST");
        assert_eq!(detail(&status, "field"), field);
        let details = status.get_error_details();
        let violations = &details.bad_request().expect("violations").field_violations;
        assert_eq!(violations[0].field, field);
    }
    house.assert_untouched().await;
    house.close().await;
}

/// What acts on a terminal.
const ACTS: [&str; 7] = [
    "a\0b",
    "\u{1b}[2Jgone",
    "two\nlines",
    "\u{9b}31m",
    "\u{7f}",
    "a\u{202e}b",
    "a\u{2028}b",
];

/// What nobody sees, so that two names would look alike.
const HIDES: [&str; 6] = [
    "adm\u{ad}in",
    "adm\u{3164}in",
    "admin\u{e0061}",
    "adm\u{e0100}in",
    "adm\u{2800}in",
    "\u{feff}admin",
];

#[tokio::test]
async fn an_id_that_nobody_sees_whole_is_refused_and_its_field_named() {
    let house = House::open().await;
    // Ids are compared, not read: what joins letters does not stand in them either.
    for id in ACTS.into_iter().chain(HIDES).chain(["ad\u{200d}min"]) {
        let wanted = proto::GenerateImageTool {
            agent_id: id.to_owned(),
            ..proto::GenerateImageTool::default()
        };
        let update = proto::UpdateGenerateImageToolRequest {
            generate_image_tool: Some(wanted),
            ..Default::default()
        };
        let credits = proto::AddCreditsRequest {
            organization_id: "acme".to_owned(),
            credits: "1.00".to_owned(),
            reference: id.to_owned(),
            ..Default::default()
        };
        let refused = [
            ("request_id", house.generate(request(id)).await.err()),
            (
                "agent_id",
                house
                    .tools(&house.admin)
                    .update_generate_image_tool(update)
                    .await
                    .err(),
            ),
            (
                "reference",
                house.billing(OPERATOR_KEY).add_credits(credits).await.err(),
            ),
        ];
        for (field, status) in refused {
            let status = status.unwrap_or_else(|| panic!("{id:?} is taken as {field}"));
            assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
            assert_eq!(detail(&status, "field"), field, "{status:?}");
        }
    }
    house.close().await;
}

#[tokio::test]
async fn a_name_that_would_act_on_a_terminal_is_refused_and_its_field_named() {
    let house = House::open().await;
    let mut organizations = house.organizations(OPERATOR_KEY);
    for name in ACTS.into_iter().chain(HIDES) {
        let organization = proto::CreateOrganizationRequest {
            id: "odd".to_owned(),
            name: name.to_owned(),
        };
        let key = proto::CreateApiKeyRequest {
            name: name.to_owned(),
            role: proto::Role::Runtime.into(),
            ..Default::default()
        };
        let refused = [
            organizations.create_organization(organization).await.err(),
            house
                .organizations(&house.admin)
                .create_api_key(key)
                .await
                .err(),
        ];
        for status in refused {
            let status = status.unwrap_or_else(|| panic!("{name:?} is taken"));
            assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
            assert_eq!(detail(&status, "field"), "name");
        }
    }
    let organization = proto::CreateOrganizationRequest {
        id: "odd".to_owned(),
        name: "Malerei Müller & Söhne 狐 ❤\u{fe0f} می\u{200c}خواهم".to_owned(),
    };
    let made = organizations.create_organization(organization).await;
    made.expect("none of them was made before");
    house.close().await;
}
