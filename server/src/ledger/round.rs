//! One round of an actor: jobs run one after the other over what is durable and what the round
//! staged so far; then one write, and everybody is answered.

use super::actor::{Context, Reply};
use super::base::Base;
use super::{Call, CallError, State};

/// See the module.
pub(super) struct Round<S: State> {
    todo: Vec<(Call<S>, Reply)>,
}

impl<S: State> Default for Round<S> {
    fn default() -> Self {
        Self { todo: Vec::new() }
    }
}

impl<S: State> Round<S> {
    pub(super) async fn run(&mut self, _: &Context<S>, _: &Base<S>, call: Call<S>, reply: Reply) {
        self.todo.push((call, reply));
    }

    pub(super) fn is_full(&self) -> bool {
        self.todo.len() > 256
    }

    pub(super) async fn finish(&mut self, _: &Context<S>, _: &mut Base<S>) {
        for (_, reply) in self.todo.drain(..) {
            let _ = reply.send(Err(CallError::Closed));
        }
    }
}
