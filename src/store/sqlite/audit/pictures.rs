//! Are the pictures there that were charged?

use std::path::Path;
use std::time::Duration;

use rusqlite::Row;

use super::{Breaks, Look};
use crate::ports::PictureCheck;
use crate::store::gallery::{Kept, Seen};
use crate::store::sqlite::odd::odd;
use crate::store::sqlite::{FILE, reader};

/// How long to wait, in all, for a gateway that runs to note that it has removed pictures whose time
/// was up: their files go first.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// I9: the pictures of what is settled and not expired are files of the size that the books have,
/// and if it is asked for, of the content.
pub(super) fn kept(look: &mut Look<'_>, breaks: &mut Breaks) -> Result<(), rusqlite::Error> {
    let Some((data_dir, check)) = look.pictures else {
        return Ok(());
    };
    let sql = "
      SELECT i.object_name, i.size_bytes, i.sha256, i.generation FROM image i
        JOIN generation_state s ON s.generation = i.generation AND s.state = 'settled'
       WHERE NOT EXISTS (SELECT 1 FROM expiry e WHERE e.generation = i.generation)";
    let mut statement = look.connection.prepare(sql)?;
    let mut images = statement.query([])?;
    let (mut passed, mut patience) = (0, PATIENCE);
    while let Some(row) = images.next()? {
        let (name, trouble) = compare(data_dir, row, check)?;
        let id: [u8; 16] = row.get(3)?;
        if let Some(trouble) = trouble
            && !has_expired(data_dir, id, &mut patience)
        {
            breaks.add(|| format!("a picture {trouble}: {name}"));
        }
        look.passed(&mut passed);
    }
    Ok(())
}

fn compare(
    data_dir: &Path,
    row: &Row<'_>,
    check: PictureCheck,
) -> Result<(String, Option<String>), rusqlite::Error> {
    let (name, size): (String, i64) = (row.get(0)?, row.get(1)?);
    let kept = Kept {
        object_name: &name,
        size_bytes: u64::try_from(size).map_err(|_| odd("size_bytes"))?,
        sha256: row.get(2)?,
    };
    let trouble = match kept.look(data_dir, check) {
        Ok(Seen::Whole) => None,
        Ok(Seen::Gone) => Some("is not there".to_owned()),
        Ok(Seen::OtherSize(size)) => Some(format!("has {size} bytes, not those of the books")),
        Ok(Seen::OtherContent) => Some("has another content than the books say".to_owned()),
        Err(error) => Some(format!("cannot be read ({error})")),
    };
    Ok((name, trouble))
}

/// Whether its time was up since the audit began.
fn has_expired(data_dir: &Path, id: [u8; 16], patience: &mut Duration) -> bool {
    let look = || -> Result<bool, rusqlite::Error> {
        let connection = reader(&data_dir.join(FILE))?;
        let mut statement = connection.prepare("SELECT 1 FROM expiry WHERE generation = ?1")?;
        statement.exists([id.as_slice()])
    };
    loop {
        if look().unwrap_or(false) {
            return true;
        }
        if *patience < PAUSE {
            return false;
        }
        *patience -= PAUSE;
        std::thread::sleep(PAUSE);
    }
}
