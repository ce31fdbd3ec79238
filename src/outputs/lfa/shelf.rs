//! Files of steps: `files/<run>/<step>_<attempt>/<name>` in the folder of reports, and from there to the LFA.

use async_trait::async_trait;

use super::store::{About, Content as Kept, Lfa, plain};
use super::{key, mime};
use crate::tasks::call::StepId;
use crate::tasks::shelf::{Content, NotKept, Shelf, StepFile};

#[async_trait]
impl Shelf for Lfa {
    async fn keep(&self, step: &StepId, name: &str, content: Content<'_>) -> Result<StepFile, NotKept> {
        let about = about(step, name, self.now());
        let path = about.path.clone();
        let content = match content {
            Content::Bytes(bytes) => Kept::Bytes(bytes.to_vec()),
            Content::File(file) => Kept::File(file.to_owned()),
        };
        match self.keep_file(about, content).await {
            Ok(record) => {
                let url = self.url_of(&path, &record);
                Ok(StepFile { name: name.to_owned(), url, bytes: record.bytes })
            }
            Err(reason) => Err(NotKept { name: name.to_owned(), reason }),
        }
    }
}

/// Where the file of a step is in the folder of reports, whatever its address: there until there is no more room for copies of
/// files that are in the LFA.
pub fn path_of(step: &StepId, name: &str) -> String {
    format!("files/{}/{}/{}", plain(&step.run_id), of_step(step), plain(name))
}

fn of_step(step: &StepId) -> String {
    plain(&format!("{}_{}", step.step, step.attempt))
}

fn about(step: &StepId, name: &str, at: salobj::Tai) -> About {
    let (run, of_step, file) = (plain(&step.run_id), of_step(step), plain(name));
    // All members of a `foreach` are of one generator.
    let generator = step.base();
    let (stem, _) = mime::split(&file);
    About {
        path: path_of(step, name),
        generator: plain(generator),
        other: format!("{}_{run}_{of_step}_{stem}", key::to_ms(at).tai_iso()),
        name: file,
        run_id: step.run_id.clone(),
        report: false,
        at,
    }
}
