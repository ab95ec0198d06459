//! Payments that are handed over, once or again, with and without an answer.

use btc::bitcoin::Txid;
use btc::{BitcoinError, BitcoinResult, ErrorKind};
use btc_regtest::sim::{Fate, Moment};
use btc_tests::to_plain;

use crate::Failure;
use crate::check::AGAIN_MS;
use crate::house::{Language, Side};
use crate::payments::{Phase, Standing};
use crate::stage::{Stage, who};
use crate::step::Step;

/// Whether the way to the node is disturbed while a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Clear,
    Disturbed,
    /// The node answers HTTP 403 to what is sent.
    Forbidden,
}

impl Stage {
    pub(super) fn pay(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        match self.build(step, Way::Clear)? {
            Some(txid) => self.hand_over(house, language, &side, txid, Way::Clear),
            None => Ok(()),
        }
    }

    /// A payment is handed over, and the answer does not come: before the node has it, or after. Or
    /// the node forbids the call.
    pub(super) fn lose_answer(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let Some(txid) = self.build(step, Way::Clear)? else {
            return Ok(());
        };
        if step.once_in(4, 4) {
            return self.hand_over_forbidden(house, language, &side, txid);
        }
        let lost = if step.once_in(0, 2) {
            Moment::After
        } else {
            Moment::Before
        };
        self.lose_answers(lost);
        self.say(format!("the answer will be lost, {lost:?} its effect"));
        let sent = self.hand_over(house, language, &side, txid, Way::Disturbed);
        self.node.set_tap(None);
        sent
    }

    /// A payment is handed over while the node does not allow the call.
    fn hand_over_forbidden(
        &mut self,
        house: usize,
        language: Language,
        side: &Side,
        txid: Txid,
    ) -> Result<(), Failure> {
        self.node.set_tap(Some(Box::new(|call, moment| {
            let is_it = call.name == "sendrawtransaction" && moment == Moment::Before;
            if is_it { Fate::Forbid } else { Fate::Proceed }
        })));
        self.say("the node will forbid it");
        let sent = self.hand_over(house, language, side, txid, Way::Forbidden);
        self.node.set_tap(None);
        sent
    }

    /// From now on no sender hears what the node says.
    pub(crate) fn lose_answers(&self, lost: Moment) {
        self.node.set_tap(Some(Box::new(move |call, moment| {
            let is_it = call.name == "sendrawtransaction" && moment == lost;
            if is_it { Fate::Drop } else { Fate::Proceed }
        })));
    }

    pub(super) fn send_built(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let built: Vec<Txid> = self.houses[house]
            .payments
            .all
            .iter()
            .filter(|it| matches!(it.phase, Phase::Built { .. } | Phase::LetGo))
            .map(|it| it.txid)
            .collect();
        match step.one_of(2, &built) {
            Some(txid) => self.hand_over(house, language, &side, *txid, Way::Clear),
            None => self.idle("no payment is built and not handed over"),
        }
    }

    pub(super) fn resend(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let handed: Vec<Txid> = self.houses[house]
            .payments
            .all
            .iter()
            .filter(|it| it.was_handed_over())
            .map(|it| it.txid)
            .collect();
        match step.one_of(2, &handed) {
            Some(txid) if step.once_in(4, 4) => {
                self.hand_over_forbidden(house, language, &side, *txid)
            }
            Some(txid) => self.hand_over(house, language, &side, *txid, Way::Clear),
            None => self.idle("no payment was handed over"),
        }
    }

    /// What breaks a rule is refused before the node is asked.
    fn must_be_refused(
        &mut self,
        txid: Txid,
        sent: BitcoinResult<String>,
        reason: &str,
        may_come_back: bool,
        way: Way,
    ) -> Result<(), Failure> {
        let is_right = |error: &BitcoinError| {
            if may_come_back {
                is_still_listed(error)
            } else {
                error.kind() == ErrorKind::Rejected
            }
        };
        match sent {
            Err(error) if error.message().contains(reason) && is_right(&error) => {
                self.note("refused before the node was asked");
                Ok(())
            }
            Err(error) if way == Way::Disturbed && error.kind().is_transport() => Ok(()),
            Err(error) => Err(format!("should be refused ({reason}): {error}").into()),
            Ok(_) => Err(format!("{txid} should be refused: {reason}").into()),
        }
    }

    /// Hands a payment over, and checks what becomes of it.
    pub(crate) fn hand_over(
        &mut self,
        house: usize,
        language: Language,
        side: &Side,
        txid: Txid,
        way: Way,
    ) -> Result<(), Failure> {
        let payments = &self.houses[house].payments;
        let payment = payments.get(txid).ok_or("a payment that is known")?.clone();
        let truth = self.truth();
        let is_open = matches!(payment.phase, Phase::Open { .. });
        let is_lost = payments.is_built_on_abandoned(&truth, &payment);
        let standing = payments.standing(&truth, &payment);
        // It is given up only with what it was built on, and may come back.
        let may_come_back = is_open && is_lost;
        let refusal = if is_open && !is_lost {
            None
        } else {
            payments.refusal(&truth, &payment)
        };
        let node_says = self.node.would_take(&payment.transaction);
        let knows = truth.height_of(txid).is_some();
        let sent = side
            .operations
            .broadcast_transaction(&to_plain(&payment.transaction, None));
        self.say(format!(
            "{} hands {txid} over in {}: {}",
            who(house),
            language.name(),
            match &sent {
                Ok(_) => "taken".to_owned(),
                Err(error) => format!("{:?}: {}", error.kind(), error.message()),
            }
        ));
        let is_there = self.node.is_waiting(txid) || self.node.height_of(txid).is_some();
        if let Some(reason) = refusal {
            return self.must_be_refused(txid, sent, reason, may_come_back, way);
        }
        if is_open
            && matches!(standing, Standing::Missing | Standing::Replaced)
            && !self.houses[house]
                .payments
                .bystanders(&truth, &payment)
                .is_empty()
        {
            return match sent {
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    self.note("not sent over what it does not name");
                    Ok(())
                }
                _ => Err(format!("{txid} takes others with it: {sent:?}").into()),
            };
        }
        let again = Phase::Open {
            due_ms: self.now_ms + AGAIN_MS,
        };
        let phase = match &sent {
            Ok(_) if is_there => again,
            Ok(_) => return Err(format!("{txid} is said to be sent, and is not there").into()),
            Err(error) if is_not_taken(error, way) => {
                if way == Way::Forbidden {
                    self.note("forbidden by the node");
                } else {
                    self.note("refused by the node");
                }
                if knows || (node_says.is_ok() && way != Way::Forbidden) {
                    return Err(format!("the node would take {txid}: {error}").into());
                }
                // Who is told that it is refused pays anew: it must not be sent again then.
                let may_come = is_open && !self.houses[house].is_settled(txid)?;
                if is_still_listed(error) != may_come {
                    return Err(format!("{txid} is {standing:?}, and {error} was said").into());
                }
                match payment.phase {
                    Phase::Built { .. } | Phase::LetGo => Phase::LetGo,
                    Phase::Abandoned { .. } => Phase::Abandoned {
                        due_ms: self.now_ms + AGAIN_MS,
                    },
                    Phase::Open { .. } => again,
                }
            }
            Err(error) if way == Way::Disturbed && error.kind().is_transport() => {
                // What is on disk decides: it is there if the node may have been asked.
                let is_written = self.houses[house].rows()?.contains_key(&txid);
                if is_there && !is_written {
                    return Err(format!("{txid} reached the node and is not written down").into());
                }
                if is_written { again } else { payment.phase }
            }
            Err(error) => return Err(format!("{txid} was not sent: {error}").into()),
        };
        if sent.is_ok() {
            self.houses[house].payments.give_up_dropped(&payment);
        }
        let is_refused = phase == Phase::LetGo;
        if let Some(payment) = self.houses[house].payments.get_mut(txid) {
            payment.phase = phase;
            if is_refused {
                payment.replaces.clear();
            }
        }
        Ok(())
    }

    pub(super) fn ask_balance(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let before = self.expected(house, language).balance_sat();
        let said = side.operations.get_balance()?;
        self.after_sync(house)?;
        let after = self.expected(house, language).balance_sat();
        self.say(format!(
            "{} has {said} sat in {}",
            who(house),
            language.name()
        ));
        if said != before && said != after {
            return Err(format!("the balance is {after} sat, and {said} was said").into());
        }
        Ok(())
    }

    /// After a call that sends missing payments again whose time has come: none is left that the
    /// node would take.
    pub(crate) fn after_sync(&mut self, house: usize) -> Result<(), Failure> {
        const AN_HOUR_MS: i64 = 3_600_000;
        let now_ms = self.now_ms;
        let truth = self.truth();
        let payments = &self.houses[house].payments;
        let due: Vec<Txid> = payments
            .all
            .iter()
            .filter(|it| match it.phase {
                Phase::Open { due_ms } => due_ms <= now_ms || due_ms - now_ms > AN_HOUR_MS,
                _ => false,
            })
            .map(|it| it.txid)
            .collect();
        for txid in &due {
            let mut others = due.iter().filter(|it| *it != txid);
            let txid = *txid;
            let Some(payment) = self.houses[house].payments.get(txid).cloned() else {
                continue;
            };
            let standing = self.houses[house].payments.standing(&truth, &payment);
            let rows = self.houses[house].rows()?;
            let at_ms = rows.get(&txid).map_or(0, |(_, at_ms)| *at_ms);
            let was_sent = match payment.phase {
                Phase::Open { due_ms } => self.was_drawn(due_ms, at_ms),
                _ => false,
            };
            let payments = &self.houses[house].payments;
            let is_to_send = payments.is_to_send(&truth, &payment);
            // What another one that was sent after it has displaced was in its way before.
            let was_in_the_way = was_sent && others.any(|it| truth.is_waiting(*it));
            if standing == Standing::Missing
                && is_to_send
                && !was_in_the_way
                && self.node.would_take(&payment.transaction).is_ok()
            {
                return Err(format!("{txid} is missing, and was not sent again").into());
            }
            if !was_sent {
                continue;
            }
            self.note("sent again by itself");
            if let Some(payment) = self.houses[house].payments.get_mut(txid) {
                payment.phase = Phase::Open {
                    due_ms: now_ms + AGAIN_MS,
                };
            }
        }
        Ok(())
    }
}

/// Whether it says that the node did not take the payment.
fn is_not_taken(error: &BitcoinError, way: Way) -> bool {
    let kind = if way == Way::Forbidden {
        ErrorKind::Auth
    } else {
        ErrorKind::Rejected
    };
    error.kind() == kind || is_still_listed(error)
}

/// Whether it says that a payment which the node has refused is open still.
fn is_still_listed(error: &BitcoinError) -> bool {
    error.kind() == ErrorKind::Unavailable && error.message().contains("it is still listed")
}
