#version 330
in vec3 position;
in vec3 normal;
in vec3 place;
in float scalp;
in vec4 light_place;
out vec4 colour;

uniform int part;  // the order of headmesh.PARTS; 7 is the hair cap
uniform sampler2D detail;  // lip distance, brow distance, place along the brow, beard or lid
uniform sampler2D shadow;
uniform vec4 detail_area;  // template x0, z0, width, height of the detail map
uniform vec3 key_direction, key_colour, fill_direction, fill_colour, sky, ground;
uniform vec3 skin, lip, hair, iris;
uniform vec3 eye_centre;  // the subject's left eye on the template
uniform vec2 brow;  // density, width in metres
uniform vec4 surface;  // roughness, freckles, wrinkles, flush
uniform vec3 fur;  // beard density, lash density, hairline shift
uniform vec4 folds;  // forehead, between the brows, beside the nose, beside the eyes
uniform float teeth;
uniform float seed;

float hash(vec3 p) {
    p = fract(p * 0.1031);
    p += dot(p, p.zyx + 31.32);
    return fract((p.x + p.y) * p.z);
}

float noise(vec3 p) {
    vec3 i = floor(p);
    vec3 f = fract(p);
    f = f * f * (3.0 - 2.0 * f);
    vec4 low = vec4(hash(i), hash(i + vec3(1, 0, 0)), hash(i + vec3(0, 1, 0)), hash(i + vec3(1, 1, 0)));
    vec4 high = vec4(hash(i + vec3(0, 0, 1)), hash(i + vec3(1, 0, 1)), hash(i + vec3(0, 1, 1)), hash(i + vec3(1, 1, 1)));
    vec4 m = mix(low, high, f.z);
    return mix(mix(m.x, m.y, f.x), mix(m.z, m.w, f.x), f.y);
}

float stroke(vec2 p, vec2 a, vec2 b, float width) {
    vec2 d = b - a;
    float t = clamp(dot(p - a, d) / dot(d, d), 0.0, 1.0);
    float gap = length(p - a - t * d);
    return exp(-gap * gap / (width * width)) * (1.0 - 0.6 * abs(2.0 * t - 1.0));
}

float lit(vec3 n) {
    float bias = mix(0.045, 0.012, smoothstep(-0.1, 0.15, dot(n, key_direction)));
    vec3 q = light_place.xyz / light_place.w * 0.5 + 0.5;
    float sum = 0.0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            sum += step(q.z - bias, texture(shadow, q.xy + (vec2(i, j) - 1.0) * 0.004).r);
    return sum / 9.0;
}

float open;  // share of the key light that reaches this fragment, set once in main

// Light on the surface; `soft`, one value a colour, lets it bleed round the terminator as skin does.
vec3 irradiance(vec3 n, vec3 soft) {
    vec3 key = max(vec3(0.0), (dot(n, key_direction) + soft) / (1.0 + soft));
    float fill = max(0.0, (dot(n, fill_direction) + 0.3) / 1.3);
    vec3 ambient = mix(ground, sky, 0.5 - 0.5 * n.y);
    return key * key_colour * mix(0.18, 1.0, open) + fill * fill_colour + ambient;
}

vec3 gloss(vec3 n, float power, float strength) {
    vec3 view = normalize(-position);
    float shine = pow(max(0.0, dot(n, normalize(key_direction + view))), power);
    return key_colour * shine * strength * open;
}

float creases() {
    vec2 p = vec2(abs(place.x), place.z);
    float wave = 0.0018 * sin(place.x * 90.0 + seed) + 0.002 * (noise(place * 60.0) - 0.5);
    float forehead = 0.0;
    for (int i = 0; i < 4; i++) forehead += exp(-pow((p.y - 0.762 - 0.0095 * float(i) + wave) / 0.0011, 2.0));
    forehead *= smoothstep(0.045, 0.02, p.x);
    float frown = stroke(p, vec2(0.008, 0.734), vec2(0.0065, 0.757), 0.0016);
    float nose = stroke(p, vec2(0.0195, 0.699), vec2(0.036, 0.655), 0.0022);
    float eyes = 0.0;
    for (int i = 0; i < 3; i++) {
        float angle = -0.6 + 0.5 * float(i);
        eyes += stroke(p, vec2(0.0525, 0.729), vec2(0.0525, 0.729) + 0.017 * vec2(cos(angle), sin(angle)), 0.0011);
    }
    return dot(vec4(forehead, frown, nose, eyes), folds);
}

vec3 shade_skin() {
    vec3 n = normalize(normal);
    float front = smoothstep(-0.085, -0.1, place.y);
    vec2 uv = (place.xz - detail_area.xy) / detail_area.zw;
    vec4 map = texture(detail, uv);
    vec3 base = skin * (0.9 + 0.2 * noise(place * 90.0 + seed)) * (0.95 + 0.1 * noise(place * 900.0));
    base = mix(base, base * vec3(1.08, 0.80, 0.78), surface.w + 0.25 * noise(place * 35.0 + seed) * front);
    vec2 p = vec2(abs(place.x), place.z);
    float cheek = exp(-dot((p - vec2(0.042, 0.69)) / vec2(0.018, 0.014), (p - vec2(0.042, 0.69)) / vec2(0.018, 0.014)));
    float nose = exp(-dot((p - vec2(0.0, 0.697)) / vec2(0.014, 0.012), (p - vec2(0.0, 0.697)) / vec2(0.014, 0.012)));
    base = mix(base, base * vec3(1.06, 0.78, 0.76), (cheek + 0.7 * nose) * front * (0.25 + surface.w));
    float socket = exp(-dot((p - vec2(0.031, 0.728)) / vec2(0.02, 0.011), (p - vec2(0.031, 0.728)) / vec2(0.02, 0.011)));
    base *= 1.0 - 0.28 * socket * front;
    float spots = smoothstep(0.74, 0.82, noise(place * 650.0 + seed)) * (cheek + nose);
    base *= 1.0 - 0.35 * surface.y * spots * front;
    base *= 1.0 - clamp(creases() * front, 0.0, 0.75) * 0.55;
    float strand = noise(vec3(place.x * 1800.0 - 1400.0 * place.z * sign(place.x), place.z * 500.0, seed));
    base *= 1.0 - clamp(-map.a, 0.0, 1.0) * (0.45 + 0.5 * fur.y) * front;
    float lips = smoothstep(-0.0012, 0.0012, map.r) * front;
    float bristle = 0.55 + 0.45 * noise(place * vec3(1500.0, 400.0, 700.0));
    base = mix(base, hair * 0.8 + base * 0.12, clamp(map.a * fur.x * bristle * smoothstep(-0.03, -0.06, place.y), 0.0, 0.9) * (1.0 - lips));
    float width = brow.y * mix(1.1, 0.45, map.b) * (0.9 + 0.2 * strand);
    float hairs = smoothstep(width + 0.0012, width - 0.0014, map.g) * front;
    base = mix(base, hair * 0.75 + base * 0.1, clamp(hairs * brow.x * (0.6 + 0.5 * strand), 0.0, 0.95));
    base = mix(base, lip * (0.9 + 0.2 * noise(vec3(place.x * 700.0, place.y * 100.0, place.z * 150.0))), lips);
    float shaven = smoothstep(-0.004, 0.004, scalp - fur.z);
    base = mix(base, mix(base, hair, 0.35), shaven * float(part == 0));
    vec3 red = vec3(0.35, 0.16, 0.10);
    vec3 light = irradiance(n, red);
    float rough = surface.x;
    vec3 shine = gloss(n, mix(60.0, 8.0, rough), mix(0.20, 0.07, rough)) + gloss(n, 50.0, 0.25 * lips);
    return base * light + shine;
}

vec3 shade_eye() {
    vec3 n = normalize(normal);
    vec3 ray = place - vec3(eye_centre.x * sign(place.x), eye_centre.yz);
    float angle = acos(clamp(dot(normalize(ray), vec3(0, -1, 0)), -1.0, 1.0));
    float spoke = noise(vec3(atan(ray.x, ray.z) * 9.0, angle * 8.0, seed));
    vec3 white = vec3(0.80, 0.76, 0.74) - vec3(0.0, 0.09, 0.09) * noise(place * 500.0);
    vec3 ring = iris * (0.7 + 0.7 * spoke) * (1.0 - 0.55 * smoothstep(0.34, 0.43, angle));
    vec3 base = mix(ring, white, smoothstep(0.41, 0.45, angle));
    base *= smoothstep(0.15, 0.19, angle);
    float lid = smoothstep(0.0065, 0.0005, abs(ray.z + 0.0012)) * 0.75 + 0.25;
    vec3 view = normalize(-position);
    float spark = pow(max(0.0, dot(n, normalize(key_direction + view))), 220.0);
    return base * irradiance(n, vec3(0.4)) * lid * 0.9 + key_colour * spark * 0.9;
}

vec3 shade_hair() {
    vec3 n = normalize(normal);
    float angle = atan(place.x, -place.y - 0.03);
    float strand = noise(vec3(angle * 55.0, place.z * 45.0, seed)) * 0.6 + noise(vec3(angle * 160.0, place.z * 90.0, seed)) * 0.4;
    vec3 base = hair * (0.45 + 1.1 * strand);
    return base * irradiance(n, vec3(0.35)) + gloss(n, 14.0, 0.10) * (0.4 + hair) * (0.4 + strand);
}

void main() {
    float grain = noise(vec3(atan(place.x, -place.y - 0.03) * 70.0, place.z * 60.0, seed));
    vec3 n = normalize(normal);
    open = lit(n);
    if (part == 0) colour.rgb = shade_skin();
    else if (part == 1) colour.rgb = shade_eye();
    else if (part == 2) colour.rgb = vec3(0.15, 0.035, 0.03) * irradiance(n, vec3(0.5)) * smoothstep(-0.10, -0.155, place.y);
    else if (part == 3) {
        float gap = 1.0 - 0.35 * exp(-pow(fract(place.x * 125.0) - 0.5, 2.0) / 0.004);
        colour.rgb = teeth * gap * vec3(0.95, 0.90, 0.80) * irradiance(n, vec3(0.6)) * smoothstep(-0.105, -0.142, place.y) * 0.85;
    }
    else if (part == 4) colour.rgb = vec3(0.55, 0.20, 0.20) * irradiance(n, vec3(0.5)) * smoothstep(-0.07, -0.14, place.y);
    else if (part == 5) {
        if (hash(floor(place * vec3(3000.0, 1.0, 1.0))) > 0.25 * fur.y) discard;
        colour.rgb = hair * 0.4;
    }
    else {
        if (part == 7 && scalp - fur.z < 0.010 * grain) discard;
        if (part == 6 && scalp - fur.z < 0.012 * grain) discard;
        colour.rgb = shade_hair();
    }
    // A filmic shoulder, then display gamma.
    colour.rgb = pow(clamp(1.0 - exp(-1.25 * colour.rgb), 0.0, 1.0), vec3(1.0 / 2.0));
    colour.a = 1.0;
}
