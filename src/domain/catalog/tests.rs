use super::*;

mod lines;
mod reading;
mod renewal;
mod watching;

/// The published page's table, character for character.
const PUBLISHED: &str = "\
OpenAI: GPT-5 Image Mini | ~6
Google: Nano Banana 2 (Gemini 3.1 Flash Image Preview) | ~9
OpenAI: GPT-5 Image | ~27
Black Forest Labs: FLUX.2 Klein 4B | 29
Google: Nano Banana Pro (Gemini 3 Pro Image Preview) | ~32
OpenAI: GPT-5.4 Image 2 | ~40
Sourceful: Riverflow V2 Fast | 41
Black Forest Labs: FLUX.2 Pro | 61
ByteDance Seed: Seedream 4.5 | 81
Black Forest Labs: FLUX.2 Flex | 121
Black Forest Labs: FLUX.2 Max | 141
Sourceful: Riverflow V2 Pro | 301
";

#[test]
fn the_built_in_catalog_is_the_published_table() {
    let table: String = Catalog::built_in()
        .models()
        .iter()
        .map(|model| {
            let display = model.estimate().expect("an estimate").display;
            format!("{} | {display}\n", model.name)
        })
        .collect();
    assert_eq!(table, PUBLISHED);
}

#[test]
fn tiers_are_those_of_the_published_page() {
    let tiers: Vec<_> = Catalog::built_in()
        .models()
        .iter()
        .map(|model| model.tier().expect("a tier"))
        .collect();
    use Tier::{Draft, Final, General};
    assert_eq!(
        tiers,
        [
            Draft, Draft, Draft, Draft, General, General, General, General, General, Final, Final,
            Final
        ]
    );
}

#[test]
fn a_model_that_cannot_be_used_says_why() {
    let catalog = Catalog::built_in();
    let mut model = Model::clone(&catalog.models()[0]);
    assert_eq!(model.usability(true), Usability::Usable);
    assert_eq!(model.usability(false), Usability::NotAvailable);
    model.pricing = None;
    assert_eq!(model.usability(true), Usability::Unpriced);
    model.withdrawn = true;
    assert_eq!(model.usability(true), Usability::Withdrawn);
    model.capabilities.generates_images = false;
    assert_eq!(model.usability(true), Usability::TextOnly);
}
