//! What this node answers others, each kind where it belongs.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::edge::RunningNode;
use crate::bus::{Answering, NodeId, Question, Refused, kind};
use crate::domain::Domain;
use crate::runtime::Control;

/// See the file.
pub(super) struct Answers {
    pub(super) control: Control,
    pub(super) domain: Domain,
    pub(super) node: Arc<RunningNode>,
}

#[async_trait]
impl Answering for Answers {
    async fn answer(&self, _: NodeId, question: Question) -> Result<Bytes, Refused> {
        let done = match question.kind {
            kind::INFO => return self.node.figures().await,
            kind::OPERATION => self.domain.run_errand(question.body).await,
            kind::STREAMED => self.control.publish_errand(question.body).await,
            _ => return self.control.answer(question).await,
        };
        done.ok_or_else(Refused::unknown)
    }

    fn told(&self, _: NodeId, told: Question) -> bool {
        self.control.hear(told)
    }
}
