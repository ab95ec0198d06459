//! What each step does.

mod address;
mod built;
mod chain;
mod handover;
mod node;
mod order;
mod others;
mod process;
mod replacement;
mod stuck;

pub(crate) use self::handover::Way;
pub(crate) use self::order::{Order, create};
pub(crate) use self::replacement::{Purpose, least_rate, take_psbt};
use crate::Failure;
use crate::check::unix_ms;
use crate::stage::Stage;
use crate::step::{Kind, Step};

impl Stage {
    /// Plays a step, and checks what must hold after it.
    pub(crate) fn play(&mut self, step: &Step) -> Result<(), Failure> {
        self.is_idle = false;
        self.stop_the_clock()?;
        match step.kind {
            Kind::Give => self.give(step),
            Kind::Receive => self.receive(step),
            Kind::Ahead => self.receive_ahead(step),
            Kind::Mine => self.mine(step),
            Kind::Reward => self.reward(step),
            Kind::Mature => self.mature(),
            Kind::Reorganise => self.reorganise(step),
            Kind::Create => self.create(step),
            Kind::Send => self.send_built(step),
            Kind::Pay => self.pay(step),
            Kind::Lost => self.lose_answer(step),
            Kind::Resend => self.resend(step),
            Kind::Bump => self.bump(step),
            Kind::Cancel => self.cancel(step),
            Kind::Child => self.child(step),
            Kind::Rebroadcast => self.rebroadcast(step),
            Kind::Abandon => self.abandon(step),
            Kind::Balance => self.ask_balance(step),
            Kind::Lock => self.lock(step),
            Kind::Evict => self.evict(step),
            Kind::Minimum => {
                self.change_minimum(step);
                Ok(())
            }
            Kind::Restart => self.restart(step),
            Kind::Loading => self.load_later(step),
            Kind::Warm => self.warm_up(step),
            Kind::Descend => self.descend(step),
            Kind::Rival => self.rival(step),
            Kind::Close => self.close(step),
            Kind::Kill => self.kill(step),
            Kind::Meanwhile => self.meanwhile(step),
            Kind::Clock => self.pass_time(step),
            Kind::Age => {
                self.age(step);
                Ok(())
            }
            Kind::Restore => self.check_restored(),
        }?;
        self.check()
    }

    /// Lets no time pass between two steps.
    fn stop_the_clock(&mut self) -> Result<(), Failure> {
        let now_ms = unix_ms();
        let by_ms = now_ms.saturating_sub(self.wall_ms).cast_signed();
        self.wall_ms = now_ms;
        let mut houses = self.houses.iter();
        houses.try_for_each(|house| house.take_back(by_ms))
    }
}
