//! What this node answers others, each kind where it belongs.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::edge::RunningNode;
use crate::bus::{Answering, NodeId, Question, Refused, kind};
use crate::runtime::Control;

/// See the file.
pub(super) struct Answers {
    pub(super) control: Control,
    pub(super) node: Arc<RunningNode>,
}

#[async_trait]
impl Answering for Answers {
    async fn answer(&self, _: NodeId, question: Question) -> Result<Bytes, Refused> {
        match question.kind {
            kind::INFO => self.node.figures().await,
            _ => self.control.answer(question).await,
        }
    }

    fn told(&self, _: NodeId, told: Question) -> bool {
        self.control.hear(told)
    }
}
