//! The prompt on a dark panel, the model and the size below it, in a bitmap font.

use font8x8::{
    BASIC_FONTS, BLOCK_FONTS, BOX_FONTS, GREEK_FONTS, HIRAGANA_FONTS, LATIN_FONTS, UnicodeFonts,
};

use super::canvas::{Canvas, Color};

const INK: Color = [0xff, 0xff, 0xff];
const FAINT: Color = [0xd6, 0xdc, 0xec];
const SHADE: Color = [0x08, 0x08, 0x18];
/// The side of a letter at scale 1.
const LETTER: i32 = 8;
/// Below this canvas width the prompt is written at scale 1.
const WIDE_ENOUGH: i32 = 280;

/// Writes everything into the lower part of the canvas.
pub(super) fn write(canvas: &mut Canvas, prompt: &str, model: &str, size: &str) {
    let margin = (canvas.width.min(canvas.height) / 28).max(6);
    let inset = margin.clamp(6, 14);
    let scale = if canvas.width >= WIDE_ENOUGH { 2 } else { 1 };
    let room = canvas.width - 2 * (margin + inset);
    let line_height = (LETTER + 3) * scale;
    let small_height = LETTER + 4;
    let footer = footer_lines(model, size, room / LETTER);
    // Above and below the text, and between prompt and footer, without the last lines' own gaps.
    let fixed = count(&footer) * small_height + 3 * inset - 3 * scale - 4;
    let lines_most = ((canvas.height / 2 - fixed) / line_height).max(1);
    let lines = wrap(prompt, room / (LETTER * scale), lines_most);
    let top = canvas.height - margin - fixed - count(&lines) * line_height;
    let panel = [margin, top, canvas.width - margin, canvas.height - margin];
    canvas.panel(panel, SHADE, 150);

    let left = margin + inset;
    let mut y = top + inset;
    for line in &lines {
        text(canvas, line, (left + scale, y + scale), (scale, SHADE));
        text(canvas, line, (left, y), (scale, INK));
        y += line_height;
    }
    y += inset - 3 * scale;
    for line in &footer {
        text(canvas, line, (left, y), (1, FAINT));
        y += small_height;
    }
}

/// Model and size on one line if they fit, with the size at the right; else below each other.
fn footer_lines(model: &str, size: &str, columns: i32) -> Vec<String> {
    let room = usize::try_from(columns).unwrap_or_default();
    let free = room.saturating_sub(model.chars().count() + size.chars().count());
    if free >= 2 {
        return vec![format!("{model}{:free$}{size}", "")];
    }
    let mut lines = wrap(model, columns, 2);
    lines.push(size.to_owned());
    lines
}

fn wrap(prompt: &str, columns: i32, lines_most: i32) -> Vec<String> {
    let columns = usize::try_from(columns).unwrap_or(1).max(4);
    let lines_most = usize::try_from(lines_most).unwrap_or(1).max(1);
    let mut lines = vec![String::new()];
    for word in prompt.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(columns) {
            push_word(&mut lines, piece, columns);
        }
    }
    if lines.len() > lines_most {
        lines.truncate(lines_most);
        if let Some(last) = lines.last_mut() {
            let kept: String = last.chars().take(columns - 3).collect();
            *last = format!("{}...", kept.trim_end());
        }
    }
    lines
}

fn push_word(lines: &mut Vec<String>, word: &[char], columns: usize) {
    let used = lines.last().map_or(0, |line| line.chars().count());
    if used > 0 && used + 1 + word.len() > columns {
        lines.push(String::new());
    }
    if let Some(line) = lines.last_mut() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word);
    }
}

fn text(canvas: &mut Canvas, line: &str, (left, top): (i32, i32), (scale, color): (i32, Color)) {
    let mut x = left;
    for letter in line.chars() {
        let glyph = glyph(letter);
        for row in 0..LETTER * scale {
            for column in 0..LETTER * scale {
                let dot = if scale == 2 {
                    rounded(glyph, column, row)
                } else {
                    dot(glyph, column / scale, row / scale)
                };
                if dot {
                    canvas.blend(x + column, top + row, color, 256);
                }
            }
        }
        x += LETTER * scale;
    }
}

/// A letter of twice the size whose corners are smoothed (the Scale2x rule).
fn rounded(glyph: [u8; 8], column: i32, row: i32) -> bool {
    let (x, y) = (column / 2, row / 2);
    let (near_x, near_y) = (x + (column % 2) * 2 - 1, y + (row % 2) * 2 - 1);
    let (far_x, far_y) = (2 * x - near_x, 2 * y - near_y);
    let (beside, above) = (dot(glyph, near_x, y), dot(glyph, x, near_y));
    let corner = beside == above && above != dot(glyph, far_x, y) && beside != dot(glyph, x, far_y);
    if corner { beside } else { dot(glyph, x, y) }
}

fn dot(glyph: [u8; 8], column: i32, row: i32) -> bool {
    let bits = usize::try_from(row)
        .ok()
        .and_then(|row| glyph.get(row).copied())
        .unwrap_or(0);
    (0..LETTER).contains(&column) && bits >> column & 1 == 1
}

/// The letter, or a question mark if the font has none.
fn glyph(letter: char) -> [u8; 8] {
    let found = BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter));
    let found = found
        .or_else(|| GREEK_FONTS.get(letter))
        .or_else(|| HIRAGANA_FONTS.get(letter));
    let found = found
        .or_else(|| BOX_FONTS.get(letter))
        .or_else(|| BLOCK_FONTS.get(letter));
    found.or_else(|| BASIC_FONTS.get('?')).unwrap_or_default()
}

fn count(lines: &[String]) -> i32 {
    i32::try_from(lines.len()).unwrap_or(i32::MAX)
}
