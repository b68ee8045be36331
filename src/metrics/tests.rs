use super::*;

/// Fails with the whole page, so that a missing line is seen beside those that are there.
fn check(metrics: &Metrics, line: &str) {
    let page = metrics.encode();
    assert!(
        page.lines().any(|it| it == line),
        "{line} is not in\n{page}"
    );
}

#[test]
fn calls_are_counted_by_method_and_reason() {
    let metrics = Metrics::new();
    metrics.call_finished("GenerateImage", None);
    metrics.call_finished("GenerateImage", None);
    metrics.call_finished("GenerateImage", Some(Reason::InsufficientCredits));
    check(
        &metrics,
        r#"image_gateway_calls_total{rpc="GenerateImage",reason="OK"} 2"#,
    );
    check(
        &metrics,
        r#"image_gateway_calls_total{rpc="GenerateImage",reason="INSUFFICIENT_CREDITS"} 1"#,
    );
}

#[test]
fn a_generation_is_in_flight_until_its_guard_is_dropped() {
    let metrics = Arc::new(Metrics::new());
    let first = metrics.generation_started();
    let second = metrics.generation_started();
    check(&metrics, "image_gateway_generations_in_flight 2");
    drop(first);
    check(&metrics, "image_gateway_generations_in_flight 1");
    drop(second);
    check(&metrics, "image_gateway_generations_in_flight 0");
}

#[test]
fn own_and_upstream_time_fall_into_buckets_of_their_own_scale() {
    let metrics = Metrics::new();
    metrics.generation_finished(Duration::from_micros(700), Duration::from_secs(12));
    check(
        &metrics,
        r#"image_gateway_own_seconds_bucket{le="0.0005"} 0"#,
    );
    check(
        &metrics,
        r#"image_gateway_own_seconds_bucket{le="0.001"} 1"#,
    );
    check(
        &metrics,
        r#"image_gateway_upstream_seconds_bucket{le="10.0"} 0"#,
    );
    check(
        &metrics,
        r#"image_gateway_upstream_seconds_bucket{le="20.0"} 1"#,
    );
    check(&metrics, "image_gateway_upstream_seconds_count 1");
}

#[test]
fn credits_add_up_without_losing_a_hundredth() {
    let metrics = Metrics::new();
    for _ in 0..1000 {
        metrics.images_settled(1, 1_500_000, Credits::from_hundredths(13_541));
    }
    check(&metrics, "image_gateway_credits_charged_total 135410.0");
    check(&metrics, "image_gateway_images_total 1000");
    check(&metrics, "image_gateway_image_bytes_total 1500000000");
    metrics.images_settled(1, 1, Credits::from_hundredths(1));
    check(&metrics, "image_gateway_credits_charged_total 135410.01");
}

#[test]
fn upstream_outcomes_holds_and_unknown_costs_are_shown() {
    let metrics = Metrics::new();
    metrics.upstream_call(KeyMode::Platform, None);
    metrics.upstream_call(KeyMode::Platform, Some(DrawCause::RateLimited));
    for key in KeyMode::ALL {
        metrics.upstream_call(*key, Some(DrawCause::KeyRefused));
    }
    metrics.set_open_holds(7);
    metrics.cost_unknown(CostSource::Lookup);
    for line in [
        r#"image_gateway_upstream_calls_total{outcome="OK"} 1"#,
        r#"image_gateway_upstream_calls_total{outcome="rate_limited"} 1"#,
        // The platform's key is the operator's to mend; another is not.
        r#"image_gateway_upstream_calls_total{outcome="ours_to_mend"} 1"#,
        r#"image_gateway_upstream_calls_total{outcome="own_key_refused"} 1"#,
        "image_gateway_open_holds 7",
        r#"image_gateway_cost_unknown_total{source="lookup"} 1"#,
        "# EOF",
    ] {
        check(&metrics, line);
    }
}

#[test]
fn connections_are_counted_and_a_certificate_shows_only_if_there_is_one() {
    let metrics = Arc::new(Metrics::new());
    let open = metrics.connection_opened();
    check(&metrics, "image_gateway_connections 1");
    drop(open);
    metrics.connection_ended(ConnectionEnd::Flood);
    metrics.call_shed();
    for line in [
        "image_gateway_connections 0",
        r#"image_gateway_connections_ended_total{reason="flood"} 1"#,
        r#"image_gateway_connections_ended_total{reason="idle"} 0"#,
        "image_gateway_calls_shed_total 1",
    ] {
        check(&metrics, line);
    }
    assert!(
        !metrics.encode().contains("gateway_tls"),
        "{}",
        metrics.encode()
    );
    metrics.certificate_taken(2_208_988_800);
    metrics.certificate_refused(true);
    check(
        &metrics,
        "image_gateway_tls_certificate_expiry_timestamp_seconds 2208988800",
    );
    check(&metrics, "image_gateway_tls_files_refused 1");
}
