//! What is done between two scenes, so that a death in one is not taken for a fault of the other.

use std::collections::BTreeSet;

use crate::gateway::{Fate, Gateway};
use crate::lane::Lane;
use crate::reckoning::connect;

impl Lane {
    /// A process that keeps pictures for a moment only has died: one generation at the most may be
    /// without its pictures and without the mark that says so.
    pub(crate) fn note_half_expired(&mut self) {
        let sql = "
          SELECT g.request_id, i.object_name FROM image i JOIN generation g ON g.id = i.generation
           WHERE NOT EXISTS (SELECT 1 FROM expiry e WHERE e.generation = i.generation)";
        let database = connect(&self.house.database());
        let mut statement = database.prepare(sql).expect("a statement");
        let kept = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let folder = self.house.dir.path().join("images");
        let gone: BTreeSet<String> = kept
            .expect("a look")
            .map(|row| row.expect("a row"))
            .filter(|(_, name): &(String, String)| !folder.join(name).exists())
            .map(|(id, _)| id)
            .filter(|id| !self.half_expired.contains(id))
            .collect();
        if gone.len() > 1 {
            let lost = format!("pictures of {gone:?} are gone at once, and no mark says why");
            self.counted.lost.push(lost);
        }
        self.half_expired.extend(gone);
    }

    /// What the records tell of costs is looked at in the order of ids: nothing that a death has left
    /// open may stand in the way of the scene.
    pub(crate) async fn end_what_is_open(&mut self) {
        let gateway = Gateway::start(&mut self.house, &Fate::default()).await;
        let gateway = gateway.expect("it serves");
        self.wait_for_holds().await;
        gateway.stop().await;
    }
}
