"""Input for every rule class of the Watcher: configurations (the summit's where it has one) and what is sent.

`TRACES` has for each class a list of (configuration, play); a play drives one rule through `watcher_rule_traces.Drive`.
Left out are configurations that crash ts_watcher 1.24: dew point and temperature lists that share two or more indices,
`Telemetry` without `summary_states`, ESS rules with one index named twice.
"""

import functools
import math

NAN = math.nan
ENABLED, DISABLED, STANDBY, FAULT, OFFLINE = 2, 1, 5, 3, 4
STATES = [ENABLED] * 4 + [DISABLED] * 2 + [STANDBY, FAULT, OFFLINE]


def near(rng, levels, hysteresis, spread):
    """A value that matters: at an edge of a level, or anywhere about."""
    level = rng.choice(levels)
    edge = level + rng.choice([-1, 0, 1]) * hysteresis + rng.choice([-1, 1]) * spread * 0.005
    return round(rng.choice([edge, level + rng.uniform(-1, 1) * spread]), 4)


def plain(topic, field, values, n=210, before=True):
    """Messages of one topic with one field, at irregular times; the first before the rule is enabled."""

    async def play(d):
        for i in range(n):
            if i == (3 if before else 0):
                await d.enable()
                await d.look(2.0)
            await d.send(topic, **{field: values(d.rng)})
            await d.wait(d.rng.choice([0.3, 1.0, 7.0]))

    return play


# ---- messages of one or two topics ------------------------------------------------------------------------------------


async def clock(d):
    await d.enable()
    late = 0.1
    for _ in range(220):
        if d.rng.random() < 0.35:
            late = d.rng.choice([0.0, 0.1, 0.95, 1.05, 2.5, -0.9, -1.2])
        await d.wait(d.rng.uniform(0.9, 1.1))
        await d.send("ESS:301.evt_heartbeat", private_sndStamp=round(d.t - late, 6))


async def estop(d):
    await d.send("ATPneumatics.evt_eStop", triggered=True)
    await d.wait(1)
    await d.enable()
    for _ in range(220):
        await d.wait(d.rng.uniform(0.2, 20))
        if d.rng.random() < 0.5:
            await d.send("ATPneumatics.evt_eStop", triggered=d.rng.random() < 0.5)
        else:
            await d.send("ATPneumatics.evt_summaryState", summaryState=d.rng.choice(STATES))


def silence(topic, gated):
    """A dead-man: messages at intervals shorter and longer than 15 s; states of the component if they matter."""

    async def play(d):
        await d.enable()
        await d.look(14.0)
        if not gated:
            await d.look(3.0)
        for _ in range(110):
            if gated and d.rng.random() < 0.25:
                await d.send("ESS:301.evt_summaryState", summaryState=d.rng.choice(STATES))
            else:
                await d.send(topic)
            await d.look(d.rng.choice([1.0, 1.0, d.rng.uniform(1, 14.5), d.rng.uniform(15.5, 40)]))

    return play


async def silence_after_replay(d):
    await d.send("ESS:301.evt_heartbeat")
    await d.wait(10)
    await d.enable()
    await d.look(14.5)
    await d.look(1)
    await d.send("ESS:301.evt_heartbeat")
    await d.look(14.5)
    await d.look(1)


async def generic_boolean(d):
    await d.enable()
    for _ in range(210):
        await d.wait(d.rng.uniform(0.5, 5))
        fields = {name: d.rng.random() < 0.3 for name in ("alarmDevice", "compressor1StatusAlarmActive")}
        fields["compressor2StatusAlarmActive"] = d.rng.random() < 0.5  # the rule does not look at this one
        await d.send("HVAC.evt_coldGlycolChiller01", **fields)


async def camera_alert(d, names):
    await d.enable()
    for _ in range(210 if len(names) > 1 else 100):
        await d.wait(d.rng.uniform(0.5, 30))
        alert = d.rng.choice(names)
        await d.send(
            "MTCamera.evt_alertRaised",
            alertId=alert,
            description=f"about {alert}",
            currentSeverity=d.rng.choice([1, 2, 3]),
            isCleared=d.rng.random() < 0.4,
        )


async def script_failed(d):
    queue = {"enabled": True, "running": True, "currentSalIndex": 0}
    current = 100001
    await d.send("ScriptQueue:1.evt_script", scriptSalIndex=current, scriptState=10)
    await d.wait(1)
    await d.enable()
    for _ in range(230):
        await d.wait(d.rng.uniform(0.2, 5))
        what = d.rng.random()
        if what < 0.45:
            change = d.rng.choice(["enabled", "running", "running", "running", "currentSalIndex"])
            if change == "currentSalIndex":
                current += d.rng.choice([0, 1])
                queue["currentSalIndex"] = d.rng.choice([current, current, 0])
            else:
                queue[change] = d.rng.random() < (0.8 if change == "enabled" else 0.4)
            await d.send("ScriptQueue:1.evt_queue", **queue)
        else:
            script = current + d.rng.choice([0, 0, 0, 1, -1])
            state = d.rng.choice([1, 2, 3, 8, 10, 10, 10])  # UNCONFIGURED, CONFIGURED, RUNNING, DONE, FAILED
            await d.send("ScriptQueue:1.evt_script", scriptSalIndex=script, scriptState=state)


async def power_outage(d):
    await d.enable()
    failing = ups = False
    for _ in range(260):
        await d.wait(d.rng.uniform(4, 9))
        if d.rng.random() < 0.08:
            failing = not failing
        if d.rng.random() < 0.03:
            ups = not ups
        if d.rng.random() < 0.85 and not ups:
            zero = failing and d.rng.random() < 0.97
            powers = [0.0] * 3 if zero else [d.rng.choice([0.0, 12.5]), round(d.rng.uniform(1, 20), 2), 3.25]
            await d.send("ESS:303.tel_schneiderPm5xxx", **dict(zip(("activePowerA", "activePowerB", "activePowerC"), powers)))
        else:
            power = [NAN] * 3 if ups else [d.rng.choice([NAN, 1.5]), 2.5, 0.0]
            await d.send("ESS:303.tel_xups", inputPower=power)


async def generators_fail(d):
    await d.enable()
    for _ in range(210):
        await d.wait(d.rng.uniform(0.5, 5))
        await d.send(f"ESS:{d.rng.choice([305, 306])}.tel_agcGenset150", mainFailure=d.rng.random() < 0.4)


def compressors(topic, field, values):
    async def play(d):
        await d.enable()
        await d.look(5)
        for _ in range(210):
            await d.wait(d.rng.uniform(0.5, 5))
            await d.send(f"MTAirCompressor:{d.rng.choice([1, 1, 2, 2, 3])}.{topic}", **{field: values(d.rng)})

    return play


async def closed_loop(d):
    await d.enable()
    for _ in range(230):
        await d.wait(d.rng.uniform(0.5, 20))
        if d.rng.random() < 0.3:
            kind = d.rng.choice([1, 2, 2, 2])  # motor, communication
            state = d.rng.choice([1, 3, 5, 5, 5, 5])  # 5: powered on
            await d.send("MTM2.evt_powerSystemState", powerType=kind, state=state, status=state == 5)
        else:
            await d.send("MTM2.evt_forceBalanceSystemStatus", status=d.rng.random() < 0.6)


async def capacitor_banks(d):
    await d.send("MTDome.evt_summaryState", summaryState=ENABLED)
    await d.wait(2)
    await d.enable()
    for _ in range(260):
        await d.wait(d.rng.uniform(0.5, 20))
        what = d.rng.random()
        if what < 0.6:
            names = ("fuseIntervention", "smokeDetected", "highTemperature", "doorOpen")
            fields = {name: [d.rng.random() < 0.05, d.rng.random() < 0.05] for name in names}
            fields["lowResidualVoltage"] = [d.rng.random() < 0.3, False]
            await d.send("MTDome.evt_capacitorBanks", **fields)
        elif what < 0.7:
            await d.send("MTDome.evt_operationalMode", operationalMode=d.rng.choice([1, 1, 2]))
        elif what < 0.8:
            await d.send("MTDome.evt_summaryState", summaryState=d.rng.choice(STATES))
        else:
            await d.send("MTDome.evt_azMotion", state=d.rng.choice([2, 3, 4, 5, 6, 8, 9, 10]), inPosition=False)


async def dome_subsystem(d):
    await d.send("MTDome.evt_azEnabled", state=3, faultCode="E7 before")
    await d.wait(2)
    await d.enable()
    for _ in range(220):
        await d.wait(d.rng.uniform(0.5, 20))
        if d.rng.random() < 0.6:
            fault = d.rng.choice(["", "", "E1 drive", "E2 brake"])
            await d.send("MTDome.evt_azEnabled", state=3 if fault else 2, faultCode=fault)
        else:
            await d.send("MTDome.evt_summaryState", summaryState=d.rng.choice(STATES))


async def thermal_fans(d):
    await d.enable()
    for _ in range(210):
        await d.wait(d.rng.uniform(0.5, 5))
        rpm = [1200 + 10 * (i % 7) for i in range(96)]
        for _ in range(d.rng.choice([0, 0, 1, 3])):
            rpm[d.rng.randrange(96)] = d.rng.choice([0, 0, 1])
        await d.send("MTM1M3TS.tel_thermalData", fanRPM=rpm)


async def hexapod_overcurrent(d):
    topic = "MTHexapod:1.tel_electrical"
    high, low = [0.5, 4.0, 0.5, 0.5, 0.5, 0.5], [0.5, 3.99, 0.5, 0.5, 0.5, 0.5]

    async def controller(state, substate):
        await d.wait(0.05)
        await d.send("MTHexapod:1.evt_controllerState", controllerState=state, enabledSubstate=substate)
        await d.wait(0.05)

    await d.send(topic, n=20, dt=0.05, motorCurrent=high)
    await d.enable()
    await controller(2, 0)
    await d.send(topic, n=12_050, dt=0.05, motorCurrent=high)
    await d.send(topic, n=60, dt=0.05, motorCurrent=low)
    for _ in range(90):
        await d.wait(0.05)
        await d.send(topic, n=d.rng.randrange(1, 30), dt=0.05, motorCurrent=d.rng.choice([high, low]))
    for _ in range(50):
        await d.wait(0.05)
        if d.rng.random() < 0.2:
            await controller(*d.rng.choice([(2, 0), (2, 1), (0, 0), (1, 0)]))
        else:
            current = [round(d.rng.uniform(3, 4.5), 2) for _ in range(6)]
            await d.send(topic, n=d.rng.randrange(1, 300), dt=0.05, motorCurrent=current)
    for _ in range(2):
        await controller(2, 0)
        await d.send(topic, n=12_001, dt=0.05, motorCurrent=high)
        for _ in range(20):
            await d.wait(0.05)
            await d.send(topic, n=d.rng.randrange(1, 4), dt=0.05, motorCurrent=d.rng.choice([high, low]))
        await controller(2, d.rng.choice([1, 2]))
        await d.send(topic, n=40, dt=0.05, motorCurrent=high)


# ---- gates, holds, windows --------------------------------------------------------------------------------------------


async def egw_flow(d):
    await d.enable()
    await d.send("MTM1M3TS.evt_summaryState", summaryState=ENABLED)
    for episode in range(40):
        low = episode % 2 == 1
        for _ in range(d.rng.choice([5, 11, 13, 18]) if low else d.rng.randrange(2, 7)):
            await d.wait(d.rng.uniform(8, 12))
            what = d.rng.random()
            if what < 0.03:
                await d.send("MTM1M3TS.evt_summaryState", summaryState=d.rng.choice([DISABLED, FAULT]))
                await d.wait(3)
                await d.send("MTM1M3TS.evt_summaryState", summaryState=ENABLED)
            elif what < 0.06:
                await d.send("MTM1M3TS.evt_engineeringMode", engineeringMode=True)
                await d.wait(3)
                await d.send("MTM1M3TS.evt_engineeringMode", engineeringMode=False)
            else:
                flow = d.rng.choice([99.9, 95.0, 0.0]) if low else d.rng.choice([100.1, 105.0, 140.0])
                await d.send("ESS:130.tel_flowMeter", flowRate=flow)


async def dewar(d):
    levels = {
        "tempCCD": ([-107, -105, -103, -101], 0.4, 0.6),
        "tempColdPlate": ([-108, -104], 0.4, 0.6),
        "tempCryoHead": ([-128, -125], 0.4, 0.6),
        "vacuum": ([8e-4, 3e-3], 2e-7, 4e-5),
    }
    good = {"tempCCD": -104.0, "tempColdPlate": -112.0, "tempCryoHead": -132.0, "vacuum": 5e-4}
    goal = dict(good)
    now = dict(good)
    await d.enable()
    await d.look(59)
    await d.look(3)
    for i in range(420):
        if d.rng.random() < 0.06:
            name = d.rng.choice(list(levels))
            at, hysteresis, spread = levels[name]
            goal[name] = near(d.rng, at, hysteresis, spread) if name != "vacuum" else d.rng.choice([5e-4, 9e-4, 4e-3])
            if d.rng.random() < 0.4:
                goal = dict(good)
        for name in now:
            digits = 7 if name == "vacuum" else 3
            now[name] = round(now[name] + 0.5 * (goal[name] - now[name]), digits)
        sample = dict(now)
        if d.rng.random() < 0.1:
            sample["tempCCD"] = -20.0  # an outlier that a median leaves out
        await d.send("ATCamera.tel_vacuum", **sample)
        await d.look(d.rng.uniform(70, 90) if d.rng.random() < 0.015 else d.rng.uniform(13, 17))
        if i in (150, 290):
            await d.look(1000)  # long enough for the windows to be empty


def hvac(topic, fields, hold=30):
    """Each field walks about its limit: (limit, spread); those named with None are two-valued."""

    async def play(d):
        now = {}
        for name, (good, bad) in fields.items():
            now[name] = good
        await d.enable()
        for _ in range(140):
            await d.wait(d.rng.uniform(4, 6) if d.rng.random() < 0.95 else hold + 5)
            for name, (good, bad) in fields.items():
                if d.rng.random() < 0.12:
                    now[name] = d.rng.choice([good, good, bad])
            await d.send(topic, **now)

    return play


async def glycol_stale(d):
    await d.enable()
    value = 4.5
    for run in range(14):
        for _ in range(d.rng.choice([1, 3, 23, 24, 25, 26, 31])):
            await d.wait(d.rng.uniform(0.9, 1.1))
            await d.send("HVAC.tel_glycolLineSensors", supplyFlowChiller01=value)
        value = round(value + 0.25, 2)


async def m1m3_temperature(d):
    await d.enable()
    base = 10.0
    for i in range(280):
        await d.wait(d.rng.uniform(28, 32))
        if d.rng.random() < 0.12:
            await d.send("MTDome.tel_apertureShutter", positionActual=d.rng.choice([[0.0, 0.0], [55.5, 0.0], [0.0, 12.5]]))
        base = round(base + d.rng.choice([-0.1, 0, 0, 0.1]), 1)
        odd = {d.rng.randrange(96): (1.0, 2.5, 4.5)[i // 25 % 3]} if i % 25 in (20, 21) and i % 50 != 21 else {}
        temperatures = [round(base + 0.1 * (k % 4) + odd.get(k, 0.0), 1) for k in range(96)]
        await d.send("MTM1M3TS.tel_thermalData", absoluteTemperature=temperatures, timestamp=round(d.t, 6))


async def mount_azimuth(d):
    await d.enable()
    for hour in (9.99, 10.01, 14.0, 19.98, 20.01, 23.5):
        await d.wait(hour * 3600 - d.t)
        for _ in range(36):
            await d.wait(d.rng.uniform(0.5, 1))
            if d.rng.random() < 0.25:
                shutters = d.rng.choice([[0.0, 0.0], [100.0, 0.0], [0.0, 3.0]])
                await d.send("MTDome.tel_apertureShutter", positionActual=shutters)
            else:
                azimuth = d.rng.choice([30.0, 79.99, 80.0, 80.01, 90.0, 99.99, 100.0, 100.01, -45.0])
                await d.send("MTMount.tel_azimuth", actualPosition=azimuth)
        # Leave with the rule at rest: it looks at the clock only when a message comes.
        await d.send("MTMount.tel_azimuth", actualPosition=30.0)


# ---- rules that poll --------------------------------------------------------------------------------------------------


def ess(topic, field, sensors, values, n=230, stale=33):
    """One message between two polls, from one of the sensors; now and then silence, and sensors that nobody asked for."""

    async def play(d):
        await d.enable()
        await d.wait(stale + 3)
        for i in range(n):
            await d.poll()
            index, sensor = d.rng.choice(sensors)
            if d.rng.random() < 0.05:
                sensor = "another"
            await d.send(f"ESS:{index}.{topic}", sensorName=sensor, location="here, there", **{field: values(d.rng)})
            if d.rng.random() < 0.03:
                await d.wait(d.rng.choice([0.6 * stale, stale + 2]))

    return play


def eight(low, high, size, used):
    """An array whose unused elements are NaN."""

    def values(rng):
        some = [round(rng.uniform(low, high), 2) for _ in range(used)] + [NAN] * (size - used)
        if rng.random() < 0.1:
            some[rng.randrange(used)] = NAN
        return some

    return values


def pressures(rng):
    low = near(rng, [98000.0, 97000.0, 96000.0], 200.0, 700.0)
    return [low, round(low + 20.0, 4)] + [NAN] * 6


def struts(rng):
    top = near(rng, [28.0, 30.0], 1.0, 2.0)
    some = [round(top - rng.uniform(0, 5), 2) for _ in range(6)]
    some[rng.randrange(6)] = top
    if rng.random() < 0.1:
        some[rng.randrange(6)] = NAN
    return some + [99.0] * 2 + [NAN] * 8  # elements that the rule leaves out


async def temperature_changes(d):
    await d.enable()
    base = 12.0
    for i in range(330):
        d.polled.clear()
        await d.polled.wait()
        await d.wait(d.rng.uniform(45, 55))
        base = round(base + d.rng.choice([-0.15, -0.05, 0, 0.05, 0.15]) + (0.9 if i in (90, 91, 200, 201, 202) else 0), 2)
        if d.rng.random() > 0.02:
            value = [base, round(base - 0.4, 2), NAN, round(base - 1.1, 2)] + [NAN] * 12
            await d.send("ESS:113.tel_temperature", sensorName="M1M3-ESS03", temperatureItem=value)


def dew_point(dew, temperature):
    """Sensors as (index, name); temperatures are 4 elements of which the first may be one that the rule leaves out."""

    async def play(d):
        await d.enable()
        await d.wait(32)
        for i in range(230):
            await d.poll()
            if d.rng.random() < 0.5:
                index, name = d.rng.choice(dew)
                value = round(d.rng.choice([5.0, 5.1, 5.4, 5.6, 6.0]), 2) if d.rng.random() > 0.03 else NAN
                await d.send(f"ESS:{index}.tel_dewPoint", sensorName=name, dewPointItem=value)
            else:
                index, name = d.rng.choice(temperature)
                low = near(d.rng, [7.0, 7.5, 8.0, 8.5], 0.2, 1.0)
                items = [0.0 if len(temperature) == 1 else low, low, round(low + 0.3, 4), round(low + 2, 4)] + [NAN] * 12
                await d.send(f"ESS:{index}.tel_temperature", sensorName=name, temperatureItem=items)
            if d.rng.random() < 0.03:
                await d.wait(d.rng.choice([20, 34]))

    return play


async def force_error(d):
    def forces(size, limit, count, skipped):
        lut = [round(40.0 + 3 * (i % 5), 2) for i in range(size)]
        correction = [0.0 if i in skipped else 1.5 for i in range(size)]
        applied = [round(0.25 * (i % 3), 2) for i in range(size)]
        measured = [round(a + 0.5 + b + c, 2) for a, b, c in zip(lut, correction, applied)]
        for i in d.rng.sample(range(size), count):
            measured[i] = round(measured[i] + d.rng.choice([-1, 1]) * limit * d.rng.choice([0.9, 1.1, 1.1, 2]), 2)
        return dict(
            lutGravity=lut, lutTemperature=[0.5] * size, hardpointCorrection=correction, applied=applied, measured=measured
        )

    await d.enable()
    await d.wait(3)
    for _ in range(180):
        await d.poll()
        what = d.rng.random()
        if what < 0.4:
            fields = forces(72, 15.0, d.rng.choice([0, 5, 11, 13, 16, 20]), (5, 15, 25))
            await d.send("MTM2.tel_axialForce", **fields)
        elif what < 0.7:
            await d.send("MTM2.tel_tangentForce", **forces(6, 50.0, d.rng.choice([0, 1, 3, 4]), (1, 3, 5)[: d.rng.choice([0, 1])]))
        else:
            axis = d.rng.choice(["azimuth", "elevation"])
            await d.send(f"MTMount.tel_{axis}", actualAcceleration=d.rng.choice([0.0, 0.01, -0.03, 0.049, 0.051, -0.2]))


async def total_force(d):
    limits = {"fx": 115.0, "fy": 17600.0, "fz": 17600.0, "mx": 1500.0, "my": 40.0, "mz": 300.0}
    await d.enable()
    await d.wait(2)
    for _ in range(210):
        await d.poll()
        kind = d.rng.choice(["f", "m"])
        sign = d.rng.choice([-1, 1])
        fields = {
            name: round(sign * limit * d.rng.choice([0.2, 0.2, 0.5, 0.5, 0.99, 0.99, 1.01]), 3)
            for name, limit in limits.items()
            if name[0] == kind
        }
        await d.send(f"MTM2.tel_net{'Forces' if kind == 'f' else 'Moments'}Total", **fields)


async def mirror_temperature(d):
    await d.enable()
    await d.wait(2)
    for _ in range(210):
        await d.poll()
        ring = [round(d.rng.uniform(14, 22), 2) for _ in range(12)]
        if d.rng.random() < 0.4:
            ring[d.rng.randrange(12)] = d.rng.choice([25.0, 25.01, 11.9, 9.0])
        intake = [d.rng.choice([20.0, 20.0, 24.99, 25.01]), 20.0]
        await d.send("MTM2.tel_temperature", ring=ring, intake=intake, exhaust=[30.0, 30.0])


async def tangent_temperature(d):
    await d.enable()
    await d.wait(3700)
    for _ in range(220):
        await d.poll()
        if d.rng.random() < 0.35:
            ring = [round(12.0 + d.rng.uniform(-0.5, 0.5), 2) for _ in range(12)]
            await d.send("MTM2.tel_temperature", ring=ring, intake=[12.0, 12.0])
        else:
            hot = d.rng.choice([0, 0, 1, 2, 3, 4, 6])
            some = [23.2] * hot + [round(d.rng.uniform(15, 20), 2) for _ in range(6 - hot)]
            d.rng.shuffle(some)
            await d.send("ESS:106.tel_temperature", sensorName="tangent", temperatureItem=some + [NAN] * 10)


# ---- the table --------------------------------------------------------------------------------------------------------

DEWAR = {f"min_{s}_ccd_temp": v for s, v in (("warning", -105), ("serious", None), ("critical", -107))} | {
    f"max_{s}_{name}": v
    for name, w, c in (
        ("ccd_temp", -103, -101),
        ("cold_plate_temp", -108, -104),
        ("cryo_head_temp", -128, -125),
        ("vacuum", 8e-4, 3e-3),
    )
    for s, v in (("warning", w), ("serious", None), ("critical", c))
}
POLL = {"poll_interval": 1, "max_data_age": 30}


def humidity_config(name, *sensors):
    sensors = [{"sal_index": index, "sensor_names": [sensor]} for index, sensor in sensors]
    levels = {"warning_level": 70, "serious_level": 80, "critical_level": 90, "hysteresis": 1}
    return {"name": name, "humidity_sensors": sensors} | levels | POLL


def humidity(*sensors):
    values = lambda rng: NAN if rng.random() < 0.04 else near(rng, [70.0, 80.0, 90.0], 1.0, 7.0)  # noqa: E731
    return ess("tel_relativeHumidity", "relativeHumidityItem", sensors, values)


def pressure_config(name, *sensors):
    sensors = [{"sal_index": i, "sensor_info": [{"sensor_name": s, "indices": [0]}]} for i, s in sensors]
    levels = {"warning_level": 98000, "serious_level": 97000, "critical_level": 96000, "hysteresis": 200}
    return {"name": name, "pressure_sensors": sensors} | levels | POLL


def limit(item, kind, value, severity, **more):
    return {"item_name": item, "limit_type": kind, "limit_value": value, "severity": severity} | more


DYNALENE = [
    limit("dynCH01LS01", "lower", 25.0, "CRITICAL"),
    limit("dynCH02LS02", "lower", 25.0, "CRITICAL"),
    limit("dynTMAsupTS01", "upper", 30.0, "CRITICAL"),
    limit("dynTMAsupPS01", "lower", 172368.932, "CRITICAL"),
    limit("dynTMAsupFS03", "lower", 10.0, "CRITICAL", time_span=30.0),
    limit("dynTMAretPS02", "lower", 172368.932, "CRITICAL"),
    limit("dynTAsupTS03", "upper", 30.0, "CRITICAL"),
    limit("dynTAsupPS03", "lower", 172368.932, "CRITICAL"),
    limit("dynTAsupFS04", "lower", 10.0, "CRITICAL", time_span=30.0),
    limit("dynTAretPS04", "lower", 172368.932, "CRITICAL"),
]
CHILLER = [
    limit("waterEvaporatorSupplyTemp", "upper", 30.0, "SERIOUS"),
    limit("cto1LowerPressure", "lower", 180000.0, "SERIOUS"),
    limit("cto2LowerPressure", "lower", 180000.0, "SERIOUS"),
    limit("switchedOn", "lower", 1, "CRITICAL"),
]
CHILLER_DIFFERENCE = {
    "first_item_name": "activeSetpoint",
    "second_item_name": "waterEvaporatorSupplyTemp",
    "limit_type": "upper",
    "limit_value": 5.0,
    "severity": "WARNING",
}
CAMERA, M2, M1M3 = (111, "Camera-ESS01"), (112, "M2-ESS02"), (113, "M1M3-ESS03")
AT_DEW = {"sal_index": 201, "sensor_names": ["AuxTel-ESS02"]}
AT_TEMPERATURE = {"sal_index": 201, "sensor_info": [{"sensor_name": "AuxTel-ESS01", "indices": [1, 2, 3]}]}
DEW_LEVELS = {"warning_level": 3, "serious_level": 2.5, "critical_level": 2, "hysteresis": 0.2}

TRACES = {
    "ATCameraDewar": [(DEWAR, dewar)],
    "ATeStop": [({}, estop)],
    "Clock": [({"name": "ESS:301"}, clock)],
    "DewPointDepression": [
        (
            {"name": "AT", "dew_point_sensors": [AT_DEW], "temperature_sensors": [AT_TEMPERATURE]}
            | {"warning_level": 2.5, "critical_level": 2, "hysteresis": 0.2}
            | POLL,
            dew_point([(201, "AuxTel-ESS02")], [(201, "AuxTel-ESS01")]),
        ),
        (
            {
                "name": "Simonyi",
                "dew_point_sensors": [{"sal_index": i, "sensor_names": [s]} for i, s in (CAMERA,)],
                "temperature_sensors": [{"sal_index": i, "sensor_info": [{"sensor_name": s}]} for i, s in (M2, M1M3)],
            }
            | DEW_LEVELS
            | POLL,
            dew_point([CAMERA], [M2, M1M3]),
        ),
    ],
    "Enabled": [
        (
            {"name": "ESS:301"},
            plain("ESS:301.evt_summaryState", "summaryState", lambda rng: rng.choice([*STATES, *STATES, 9])),
        )
    ],
    "GenericBoolean": [
        (
            {
                "rule_name": "Chiller01",
                "remote_name": "HVAC",
                "callback_name": "evt_coldGlycolChiller01",
                "alarm_items": [{"item_name": n} for n in ("alarmDevice", "compressor1StatusAlarmActive")],
                "severity": "CRITICAL",
            },
            generic_boolean,
        )
    ],
    "Heartbeat": [
        ({"name": "ESS:301"}, silence("ESS:301.evt_heartbeat", False)),
        ({"name": "ESS:301"}, silence_after_replay),
    ],
    "Humidity": [
        (humidity_config("Camera humidity", CAMERA), humidity(CAMERA)),
        (humidity_config("Simonyi", CAMERA, M2, M1M3), humidity(CAMERA, M2, M1M3)),
    ],
    "Hvac": [
        (
            {"rule_name": "Dynalene", "callback_names": ["tel_dynalene"], "individual_limits": DYNALENE},
            hvac(
                "HVAC.tel_dynalene",
                {
                    item["item_name"]: (
                        item["limit_value"] * (0.99 if item["limit_type"] == "upper" else 1.01),
                        item["limit_value"] * (1.01 if item["limit_type"] == "upper" else 0.99),
                    )
                    for item in DYNALENE
                    if item["item_name"] in ("dynTMAsupTS01", "dynTMAsupFS03", "dynTAsupFS04")
                }
                | {
                    item["item_name"]: (item["limit_value"] * 1.01 if item["limit_type"] == "lower" else 20.0,) * 2
                    for item in DYNALENE
                    if item["item_name"] not in ("dynTMAsupTS01", "dynTMAsupFS03", "dynTAsupFS04")
                },
            ),
        ),
        (
            {
                "rule_name": "Chiller01",
                "callback_names": ["tel_coldGlycolChiller01"],
                "individual_limits": CHILLER,
                "difference_limits": [CHILLER_DIFFERENCE],
            },
            hvac(
                "HVAC.tel_coldGlycolChiller01",
                {
                    "waterEvaporatorSupplyTemp": (20.0, 30.25),
                    "cto1LowerPressure": (181000.0, 179000.0),
                    "cto2LowerPressure": (181000.0, 181000.0),
                    "activeSetpoint": (24.75, 25.25),
                    "switchedOn": (True, False),
                },
            ),
        ),
        (
            {
                "rule_name": "GlycolSensorSupplyFlowChiller01",
                "callback_names": ["tel_glycolLineSensors"],
                "stale_value_limits": [{"item_name": "supplyFlowChiller01", "num_samples": 25, "severity": "CRITICAL"}],
            },
            glycol_stale,
        ),
    ],
    "MTAirCompressorsPressure": [
        (
            {"one_severity": "SERIOUS", "both_severity": "CRITICAL", "minimal_pressure": 3500},
            compressors("tel_analogData", "linePressure", lambda rng: rng.choice([0, 3499, 3500, 3501, 9000, 9000])),
        )
    ],
    "MTAirCompressorsState": [
        ({}, compressors("evt_summaryState", "summaryState", lambda rng: rng.choice([*STATES, *STATES, 77])))
    ],
    "MTCameraAlert": [
        ({}, functools.partial(camera_alert, names=["alpha"])),
        ({}, functools.partial(camera_alert, names=["alpha", "beta", "gamma"])),
    ],
    "MTCCWFollowingRotator": [
        ({}, plain("MTMount.evt_cameraCableWrapFollowing", "enabled", lambda rng: rng.randrange(2)))
    ],
    "MTDomeCapacitorBanks": [({}, capacitor_banks)],
    "MTDomeSubsystemEnabled": [
        (
            {
                "subsystem_name": "azimuth rotation",
                "event_name": "evt_azEnabled",
                "csc_state": ["ENABLED"],
                "severity": "CRITICAL",
            },
            dome_subsystem,
        )
    ],
    "MTForceError": [({}, force_error)],
    "MTHexapodOvercurrent": [({"name": "MTHexapod:1"}, hexapod_overcurrent)],
    "MTM1M3EGWFlow": [({}, egw_flow)],
    "MTM1M3Temperature": [
        (
            {
                "temperature_change_interval": 300,
                "m1m3_temperature_difference_threshold": 3.0,
                "m1m3_temperature_change_threshold": 2.0,
            },
            m1m3_temperature,
        )
    ],
    "MTM1M3ThermalFans": [({}, thermal_fans)],
    "MTMirrorTemperature": [({}, mirror_temperature)],
    "MTMountAzimuth": [
        (
            {
                "time_range_start": 10,
                "time_range_end": 20,
                "mtmount_azimuth_low_threshold": 80,
                "mtmount_azimuth_high_threshold": 100,
            },
            mount_azimuth,
        )
    ],
    "MTOutClosedLoopControl": [({}, closed_loop)],
    "MTTangentLinkTemperature": [({}, tangent_temperature)],
    "MTTotalForceMoment": [({}, total_force)],
    "MTVibrationRotator": [
        ({}, plain("MTRotator.evt_lowFrequencyVibration", "frequency", lambda rng: rng.choice([0.0, 0.0, 0.5, 2.5])))
    ],
    "OverTemperature": [
        (
            {
                "name": "MT Camera Hexapod",
                "temperature_sensors": [
                    {
                        "sal_index": 121,
                        "sensor_info": [{"sensor_name": "MTCameraAssembly-ESS01", "indices": [0, 1, 2, 3, 4, 5]}],
                    }
                ],
                "warning_level": 28,
                "critical_level": 30,
                "hysteresis": 1,
            }
            | POLL,
            ess("tel_temperature", "temperatureItem", [(121, "MTCameraAssembly-ESS01")], struts),
        ),
        (
            {
                "name": "M1M3 Temperature Changes",
                "temperature_sensors": [{"sal_index": 113, "sensor_info": [{"sensor_name": "M1M3-ESS03"}]}],
                "hysteresis": 0,
                "poll_interval": 60,
                "max_data_age": 30,
            }
            | {f"{s}_level": v for s, v in (("warning", 1.0), ("serious", 2.0), ("critical", 3.0))}
            | {f"{s}_period": 3600 for s in ("warning", "serious", "critical")},
            temperature_changes,
        ),
    ],
    "PowerGeneratorFail": [({"name_primary": "ESS:306", "name_secondary": "ESS:305"}, generators_fail)],
    "PowerGeneratorRunning": [
        (
            {"name": "ESS:305", "severity": "SERIOUS"},
            plain("ESS:305.tel_agcGenset150", "running", lambda rng: rng.random() < 0.4),
        )
    ],
    "PowerOutage": [
        ({"name": "ESS:303", "min_num_zeros_schneider": 3, "generator_startup_time": 120}, power_outage)
    ],
    "ScriptFailed": [({"index": 1}, script_failed)],
    "Telemetry": [
        (
            {"name": "ESS:301", "callback_name": "tel_airFlow", "summary_states": ["ENABLED", "DISABLED"]},
            silence("ESS:301.tel_airFlow", True),
        )
    ],
    "UnderPressure": [
        (pressure_config("M1M3 air", M1M3), ess("tel_pressure", "pressureItem", [M1M3], pressures)),
        (pressure_config("Two sensors", M2, M1M3), ess("tel_pressure", "pressureItem", [M2, M1M3], pressures, n=60)),
    ],
}
