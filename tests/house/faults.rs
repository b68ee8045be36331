//! Faults between the gateway and whatever it stands on: the wire, the upstream's words, the
//! database, the disk. Every row of the matrix of failures that is tested with a faulty proxy or a
//! faulty upstream (`reliability.md` 2.5, marked X), and some beside them, with their tests, here
//! or elsewhere in this house, or why there is none:
//!
//! | Row | Tests |
//! | --- | ----- |
//! | 2 | `every_bad_key_gets_the_same_words`, `a_key_of_another_organization_is_as_absent_as_one_that_never_was` |
//! | 3 | `the_open_streams_of_a_revoked_key_end_at_once_and_what_it_began_is_charged`, `a_stream_ends_when_its_key_expires`, `a_body_that_comes_after_its_key_has_ended_begins_nothing` |
//! | 4 | `nobody_is_let_in_or_turned_away_by_a_database_that_cannot_be_read`, `every_call_is_put_off_while_the_database_is_down_and_nothing_is_begun` |
//! | 7 | `a_price_list_that_makes_no_sense_is_refused_before_any_hold`, `a_price_list_that_says_nothing_costs_is_overruled_by_the_bill` |
//! | 13 | `every_step_of_one_picture_may_break`, `every_step_of_four_calls_side_by_side_may_break` |
//! | 14 | `a_database_that_is_locked_for_a_moment_is_waited_for` |
//! | 15 | `nothing_is_sent_upstream_while_the_database_is_locked_for_long`, `nothing_is_sent_upstream_without_a_hold_and_its_dispatch_in_the_books`, `every_call_is_put_off_while_the_database_is_down_and_nothing_is_begun`, `every_change_is_put_off_while_the_database_cannot_be_written`, `a_hold_that_surely_failed_is_put_off_and_one_that_may_stand_is_our_own_fault`, `a_database_of_which_only_some_pages_are_malformed_makes_it_not_ready_and_stays_so` |
//! | 16 | `a_full_database_takes_no_hold_sends_nothing_and_settles_what_ran_when_there_is_room`, `files_that_may_not_grow_stop_new_calls_and_the_next_process_settles_the_rest` |
//! | 23 | `a_connection_that_cannot_be_made_costs_nothing` |
//! | 24 | `a_request_whose_connection_breaks_is_never_sent_again_and_stays_in_doubt` |
//! | 25 | `every_recorded_error_is_told_in_our_words` |
//! | 26 | `a_key_that_openrouter_refuses_is_nothing_to_the_caller_and_counted_for_the_operator` |
//! | 27 | `what_openrouter_refuses_a_key_is_told_apart_and_the_platforms_key_never_helps_out`, `two_refusals_that_openrouter_confirms_end_a_key_and_the_tools_say_why` |
//! | 28 | `a_wait_that_upstream_asks_for_is_kept_and_so_is_the_hold`, `a_wait_that_is_too_long_is_left_to_the_caller` |
//! | 29 | `a_key_that_openrouter_refuses_is_nothing_to_the_caller_and_counted_for_the_operator` |
//! | 30 | `a_wait_that_upstream_asks_for_is_kept_and_so_is_the_hold`, `a_wait_that_is_too_long_is_left_to_the_caller`, `after_two_more_tries_a_call_is_given_up_and_its_hold_released`, `tries_again_are_few_when_upstream_is_down_for_everybody` |
//! | 31 | `a_rejected_prompt_says_its_stage_and_stays_rejected` |
//! | 32 | `a_running_generation_keeps_the_key_it_was_begun_with` |
//! | 33 | `an_answer_that_never_begins_leaves_the_hold_in_doubt`, `an_answer_that_breaks_in_its_head_leaves_the_hold_in_doubt` |
//! | 36 | `a_missing_usage_never_loses_a_picture`, `an_id_that_is_repeated_does_not_stand_in_the_way_of_a_picture`, `an_id_that_is_repeated_is_not_believed_when_the_cost_is_asked_for` |
//! | 38 | `an_error_in_an_answer_of_status_200_is_told_by_its_code_and_costs_nothing` |
//! | 39 | `an_answer_that_is_no_picture_is_refused`, `a_refusal_that_upstream_bills_is_the_platforms_loss` |
//! | 40 | `an_answer_cut_before_its_picture_is_whole_costs_nothing`, `a_whole_picture_is_kept_wherever_the_rest_of_its_answer_is_cut`, `sixty_cuts_spread_over_an_answer_never_charge_twice_and_never_for_nothing`, `sixty_bends_spread_over_an_answer_never_charge_twice_and_never_for_nothing`, `a_stream_without_its_last_line_is_whole` |
//! | 41 | `an_answer_that_takes_its_time_is_delivered_and_one_that_takes_too_long_is_not_charged` |
//! | 42 | `an_answer_without_bounds_is_refused_at_its_cap_and_leaves_nothing_on_the_disk`, `an_answer_with_a_long_text_beside_its_picture_is_refused`, `a_packed_answer_is_never_unpacked` |
//! | 45 | `a_cost_is_read_from_its_digits_or_asked_for_and_never_guessed`, `usage_that_comes_twice_in_a_stream_is_charged_once`, `the_cost_is_taken_from_its_text_to_the_last_digit`, `a_cost_that_makes_no_sense_is_looked_up` |
//! | 46 | `an_overrun_becomes_debt_that_stops_new_holds_until_it_is_repaid` |
//! | 48 | `a_caller_that_hangs_up_is_charged_and_finds_its_picture_again`, `callers_that_hang_up_at_any_moment_leave_no_hold_behind`, `a_deadline_that_passes_does_not_stop_a_dispatched_generation` |
//! | 49 | `a_running_generation_finishes_after_sigterm_and_new_calls_are_refused`, `a_drain_lets_running_generations_finish_and_takes_no_new_ones` |
//! | 52 | `every_step_of_one_picture_may_break`, `a_full_store_keeps_what_was_begun_and_sends_nothing_more`, `a_disk_that_fails_costs_nothing_and_nothing_is_handed_out_as_finished` |
//! | 53 | none: pictures are files beside the database; there is no object store that could be slow, and a disk that fails is row 52 |
//! | 54 | `a_picture_whose_file_is_lost_has_expired_and_its_charge_stands`, `a_picture_whose_file_has_rotted_has_expired_and_its_charge_stands` |
//! | 55 | `a_missing_usage_never_loses_a_picture`, `a_cost_that_is_late_is_pending_and_the_books_settle_by_themselves` |
//! | 57 | `the_cost_is_taken_from_its_text_to_the_last_digit`, `under_a_provider_key_of_the_platform_the_provider_is_paid_too` |
//! | 58 | `what_the_records_say_less_comes_back_once_whenever_the_gateway_is_started_again`, `what_the_records_say_more_is_the_platforms_loss`, `a_call_without_a_record_is_passed_and_those_after_it_are_checked`, `an_upstream_that_does_not_answer_for_a_while_leaves_nothing_unchecked`, `records_that_are_gone_for_a_while_leave_nothing_unchecked`, `what_nobody_can_tell_of_an_own_keys_calls_keeps_nobody_elses_waiting`, `the_sums_of_books_that_the_records_contradict_are_explained` |
//! | 62 | `a_database_that_fails_for_a_moment_at_the_end_loses_neither_picture_nor_charge`, `a_picture_is_delivered_though_the_database_fails_and_charged_when_it_works_again`, `an_answer_that_cannot_be_noted_is_delivered_and_charged_all_the_same` |
//! | 64 | none: no call of the contract deletes or suspends an organization; a key that ends meanwhile is row 3 |
//! | 68 | `a_caller_that_does_not_read_delays_nobody_and_finds_everything_later` |
//! | 69 | none: nobody is called back; a caller watches or asks |
//! | 70 | `an_older_copy_that_is_put_back_is_told_by_heads_that_were_kept`, `heads_that_cannot_be_read_or_are_of_nobody_prove_nothing` |
//! | 74 | `an_older_copy_that_is_put_back_is_told_by_heads_that_were_kept` |
//! | 77 | `ten_times_too_many_calls_are_turned_away_before_any_hold_and_those_inside_finish`, `more_generations_than_allowed_at_a_time_are_turned_away_before_any_hold` |
//! | 78 | `an_organization_that_floods_the_gateway_leaves_places_for_others`, `an_organization_makes_as_many_generations_at_a_time_as_it_may`, `an_organization_that_calls_too_often_is_told_when_to_come_back`, `an_organization_whose_references_fill_its_room_keeps_those_of_no_other_out`, `an_organization_with_many_slow_references_keeps_no_others_from_being_fetched`, `a_call_too_many_is_refused_without_a_look_at_the_database_and_nobody_is_let_in_so` |
//! | 79 | `a_model_that_browns_out_is_refused_before_any_hold_and_others_go_on`, `an_upstream_that_works_again_is_asked_by_everybody_within_half_a_minute`, `an_organization_whose_calls_all_fail_keeps_no_other_from_the_model`, `several_models_that_are_down_speak_for_openrouter`, `refusals_that_are_not_upstreams_fault_never_keep_a_call_from_it`, `an_upstream_that_fails_every_other_time_is_always_asked`, `an_agent_at_its_limit_leaves_its_turn_to_others_of_its_organization`, `a_call_whose_references_are_slow_takes_nobodys_turn_while_upstream_is_down` |

use std::collections::BTreeMap;

use image_gateway::proto;
use tonic::{Code, Status};

use crate::helpers::{House, Setup, reason, request};
use crate::tidy;
pub(crate) use brownout::{fail, move_in, spared, until_spared};
use proxy::{Proxy, body_of, find};

mod bombs;
mod brownout;
mod callers;
mod cellar;
pub(crate) mod checks;
mod connection;
mod cost;
mod cuts;
mod full;
mod pages;
mod proxy;
mod refused;
mod storage;

/// The rows marked X.
const ROWS: [u32; 37] = [
    4, 7, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28, 29, 30, 31, 33, 36, 38, 39, 40, 41, 42, 48, 49,
    52, 53, 54, 55, 57, 58, 62, 69, 70, 74, 77, 78, 79,
];

/// What one picture of the usual request costs upstream, in USD.
const PRICE: &str = "0.014";

/// Where the parts of the usual answer begin, in bytes of the whole message.
#[derive(Clone, Copy, Debug)]
struct Places {
    /// The first byte behind the head.
    body: usize,
    /// The first character of the picture.
    picture: usize,
    /// The quotation mark behind the picture.
    quote: usize,
    /// The word `usage`.
    usage: usize,
    /// How many bytes there are.
    end: usize,
}

impl Places {
    /// So many places from the body to the end of the picture, and so many in the little that
    /// follows it.
    fn spread(self, picture: usize, rest: usize) -> impl Iterator<Item = usize> {
        let evenly = |from: usize, to: usize, count: usize| {
            (0..count).map(move |place| from + (to - from) * place / (count - 1))
        };
        evenly(self.body, self.quote, picture).chain(evenly(self.quote - 1, self.end, rest))
    }

    /// The characters of the picture.
    fn picture_of(self, answer: &[u8]) -> String {
        let text = answer[self.picture..self.quote].to_vec();
        String::from_utf8(text).expect("base64")
    }
}

/// A house whose gateway reaches the mock through a proxy.
async fn behind_a_proxy(setup: Setup) -> (House, Proxy) {
    let proxy = Proxy::open().await;
    let base_url = Some(proxy.base_url());
    let house = House::with(Setup { base_url, ..setup }).await;
    proxy.lead_to(house.mock.address());
    (house, proxy)
}

/// Makes one picture without any fault, to see what its answer looks like.
async fn rehearse(house: &House, proxy: &Proxy) -> Places {
    house
        .generate(request("rehearsal"))
        .await
        .expect("no fault");
    let answer = proxy.last_answer();
    let after = |start: usize, word: &[u8]| {
        start + find(&answer[start..], word).expect("a part") + word.len()
    };
    let body = body_of(&answer);
    let picture = after(body, br#""b64_json":""#);
    let quote = after(picture, b"\"") - 1;
    Places {
        body,
        picture,
        quote,
        usage: after(quote, br#","usage""#) - br#""usage""#.len(),
        end: answer.len(),
    }
}

/// A call that fails so.
async fn fails(house: &House, id: &str, code: Code, expected: &str) -> Status {
    let Err(status) = house.generate(request(id)).await else {
        panic!("{id}: a picture")
    };
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (code, expected),
        "{id}: {status:?}"
    );
    status
}

/// The generation ended without a charge, for this reason.
async fn is_voided(house: &House, id: &str, expected: &str) {
    let generation = house.ended(id).await;
    assert_eq!(generation.stage(), proto::Stage::Voided, "{id}");
    assert_eq!(generation.charge, None, "{id}");
    let error = generation.error.expect("an error");
    assert_eq!(error.reason, expected, "{id}");
}

/// So many pictures of the usual kind are charged, and nothing is held.
async fn is_charged(house: &House, pictures: u32) {
    let balance = house.balance().await;
    let left = format!("{}.00", 10_000 - 29 * pictures);
    assert_eq!(
        (balance.credits, balance.held),
        (left, "0.00".to_owned()),
        "after {pictures} pictures"
    );
}

/// Ends the house after so many pictures of the usual kind were charged.
async fn close(house: House, pictures: u32) {
    is_charged(&house, pictures).await;
    house.close().await;
}

/// A page of the side door, by its status and its text.
async fn page(house: &House, path: &str) -> (u16, String) {
    let address = house.app.as_ref().expect("open").http_address();
    let answer = reqwest::get(format!("http://{address}{path}")).await;
    let answer = answer.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.text().await.expect("a text"))
}

/// The table above: for each row the tests it names, or none with a reason.
fn table() -> BTreeMap<u32, Vec<&'static str>> {
    let lines = include_str!("faults.rs").lines();
    let rows = lines.filter_map(|line| line.strip_prefix("//! | ")?.split_once(" | "));
    let mut table = BTreeMap::new();
    for (row, tests) in rows {
        let Ok(row) = row.parse() else { continue };
        let tests = tests.trim_end_matches(" |");
        let is_empty = tests
            .strip_prefix("none: ")
            .is_some_and(|why| !why.is_empty());
        let names = if is_empty {
            Vec::new()
        } else {
            let unquoted = |name: &'static str| name.strip_prefix('`')?.strip_suffix('`');
            let names = tests.split(", ").map(unquoted);
            names.collect::<Option<_>>().expect("names of tests")
        };
        assert_eq!(table.insert(row, names), None, "row {row} twice");
    }
    table
}

#[test]
fn every_row_of_the_matrix_names_tests_that_are_there() {
    let folder = tidy::root().join("tests/house");
    let texts: Vec<String> = tidy::rust_files(&folder)
        .iter()
        .map(|path| tidy::read(path))
        .collect();
    let table = table();
    for row in ROWS {
        assert!(table.contains_key(&row), "row {row} is not in the table");
    }
    for (row, names) in table {
        for name in names {
            let is_there = texts.iter().any(|text| tidy::is_test(text, name));
            assert!(is_there, "row {row}: no test is named {name}");
        }
    }
}
